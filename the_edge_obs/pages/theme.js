// Light and dark: as the system has it, until the reader asks for the other.
const root = document.documentElement;
root.dataset.theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
const switchTheme = () => (root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark");
