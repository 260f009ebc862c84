document.addEventListener("DOMContentLoaded", () => {
  // The theme's toggles in the side bar have a picture and no name for who listens to the page.
  for (const toggle of document.querySelectorAll(".bd-sidebar summary")) {
    if (!toggle.textContent.trim()) toggle.setAttribute("aria-label", "Pages of this section");
  }
  // Tables wider than their page scroll: from the keyboard, too.
  const tables = document.querySelectorAll(".bd-article table");
  const focusable = () => tables.forEach((table) => table.toggleAttribute("tabindex", table.scrollWidth > table.clientWidth)
    && table.setAttribute("tabindex", "0"));
  focusable();
  addEventListener("resize", focusable);
});
