// Sets the remembered theme before the first paint.
try {
  const theme = localStorage.getItem("headway.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Without storage the theme is the system's.
}
