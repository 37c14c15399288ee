// Pictures that the page draws itself: for those who have none at hand, and for those who cannot draw with a pointer.

const SIDE = 100;
/** A way of writing each digit, in a box of 100 by 100, as SVG path data. */
export const DIGITS = [
  "M50 10C25 10 20 90 50 90C80 90 75 10 50 10",
  "M34 27L52 10L52 90",
  "M28 32C28 2 76 6 70 36C66 54 40 70 27 90L75 90",
  "M28 20C45 2 76 10 70 32C66 46 52 48 46 48C60 48 76 56 73 72C70 94 38 96 26 80",
  "M60 90L60 10L24 64L78 64",
  "M70 10L36 10L32 46C48 36 76 42 74 66C72 92 40 96 27 82",
  "M64 12C44 20 28 46 30 68C32 94 70 96 72 70C73 48 40 46 31 66",
  "M26 12L74 12L44 90",
  "M50 48C24 40 28 10 50 10C72 10 76 40 50 48C22 56 22 90 50 90C78 90 78 56 50 48",
  "M70 32C68 6 30 6 30 32C30 56 66 56 70 32L66 90",
];

/** Draws a digit in the middle of a drawing area that is `side` wide, with the context's own pen. */
export function drawDigit(context, digit, side) {
  context.save();
  context.translate(side * 0.2, side * 0.2);
  context.scale((side * 0.6) / SIDE, (side * 0.6) / SIDE);
  context.lineWidth *= SIDE / (side * 0.6);
  context.stroke(new Path2D(DIGITS[digit]));
  context.restore();
}

function shapes(context, width, height) {
  context.fillStyle = "#e9e6df";
  context.fillRect(0, 0, width, height);
  context.fillStyle = "#2f6fb0";
  context.beginPath();
  context.arc(width * 0.26, height * 0.38, height * 0.2, 0, 2 * Math.PI);
  context.fill();
  context.fillStyle = "#c8452f";
  context.fillRect(width * 0.52, height * 0.18, height * 0.36, height * 0.36);
  context.fillStyle = "#3c8d57";
  context.beginPath();
  context.moveTo(width * 0.5, height * 0.9);
  context.lineTo(width * 0.36, height * 0.62);
  context.lineTo(width * 0.64, height * 0.62);
  context.fill();
}

function landscape(context, width, height) {
  const sky = context.createLinearGradient(0, 0, 0, height);
  sky.addColorStop(0, "#5f93c9");
  sky.addColorStop(0.62, "#e8d9c0");
  context.fillStyle = sky;
  context.fillRect(0, 0, width, height);
  context.fillStyle = "#fff3cf";
  context.beginPath();
  context.arc(width * 0.74, height * 0.26, height * 0.09, 0, 2 * Math.PI);
  context.fill();
  const ridge = (level, swing, colour) => {
    context.fillStyle = colour;
    context.beginPath();
    context.moveTo(0, height);
    for (let x = 0; x <= width; x += 8) {
      context.lineTo(x, height * (level - swing * Math.sin(x * 0.011 + level * 9) - 0.4 * swing * Math.sin(x * 0.037)));
    }
    context.lineTo(width, height);
    context.fill();
  };
  ridge(0.56, 0.09, "#8aa0b3");
  ridge(0.68, 0.07, "#5d7a68");
  ridge(0.82, 0.05, "#35523d");
}

export const SCENES = [["Shapes", shapes], ["Landscape", landscape]];

/** A scene as a PNG file. */
export async function sceneFile(name, draw) {
  const canvas = new OffscreenCanvas(640, 420);
  draw(canvas.getContext("2d"), canvas.width, canvas.height);
  return new File([await canvas.convertToBlob({ type: "image/png" })], `${name.toLowerCase()}.png`, { type: "image/png" });
}
