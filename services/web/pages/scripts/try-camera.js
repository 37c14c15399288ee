// One picture from the camera; the camera is on only while somebody looks at it.

import { byId } from "./dom.js";

/** `onTaken(blob)` is called with a JPEG. Gives `{stop}`. */
export function cameraArea(onTaken) {
  const video = byId("video");
  const [start, take, hint] = [byId("camera-start"), byId("camera-take"), byId("camera-hint")];
  let stream = null;

  const show = () => {
    start.hidden = Boolean(stream);
    take.hidden = !stream;
  };
  const stop = () => {
    stream?.getTracks().forEach((track) => track.stop());
    stream = null;
    video.srcObject = null;
    show();
  };
  start.addEventListener("click", async () => {
    hint.textContent = "";
    if (!navigator.mediaDevices?.getUserMedia) {
      hint.textContent = "Browsers give the camera to https and to localhost only.";
      return;
    }
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: 1280 } } });
      video.srcObject = stream;
      await video.play();
    } catch (error) {
      hint.textContent = error.name === "NotAllowedError" ? "The camera was not allowed." : `There is no camera to be had: ${error.message}`;
    }
    show();
  });
  take.addEventListener("click", () => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob((blob) => {
      stop();
      onTaken(blob);
    }, "image/jpeg", 0.92);
  });
  window.addEventListener("pagehide", stop);
  return { stop };
}
