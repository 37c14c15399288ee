// Loaded in the head and not as a module, so that the chosen theme is there before anything is painted.
(() => {
  const NAME = "grayscale.theme";
  const read = () => {
    try {
      return localStorage.getItem(NAME) ?? "auto";
    } catch {
      return "auto"; // storage may be forbidden
    }
  };
  const apply = (theme) => {
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
  };
  const set = (theme) => {
    try {
      localStorage.setItem(NAME, theme);
    } catch {
      // then it holds for this page only
    }
    apply(theme);
  };
  window.grayscaleTheme = { get: read, set };
  apply(read());
})();
