// The theme's toggles in the side bar have a picture and no name for who listens to the page.
document.addEventListener("DOMContentLoaded", () => {
  for (const toggle of document.querySelectorAll(".bd-sidebar summary")) {
    if (!toggle.textContent.trim()) toggle.setAttribute("aria-label", "Pages of this section");
  }
});
