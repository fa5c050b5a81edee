// Light or dark: as the system says, until somebody chooses; then remembered.

export type Theme = "auto" | "light" | "dark";
const KEPT = "arame.theme";

export function theme(): Theme {
  const kept = localStorage.getItem(KEPT);
  return kept === "light" || kept === "dark" ? kept : "auto";
}

export function setTheme(theme: Theme): void {
  localStorage.setItem(KEPT, theme);
  show(theme);
}

export function show(theme: Theme): void {
  if (theme === "auto") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.dataset["theme"] = theme;
}
