"use strict";
(() => {
  const page = JSON.parse(document.getElementById("figures").textContent);
  const drawn = [...document.querySelectorAll(".chart")].map((place) =>
    vegaEmbed(place, page.figures[place.dataset.figure], {
      actions: false,
      config: page.config,
      renderer: "svg",
      tooltip: { theme: "custom", disableDefaultStyle: true },
    })
  );
  Promise.all(drawn).then(() => document.documentElement.setAttribute("data-drawn", drawn.length));
  const dark = matchMedia("(prefers-color-scheme: dark)");
  document.getElementById("look").addEventListener("click", () => {
    const root = document.documentElement;
    const now = root.dataset.look || (dark.matches ? "dark" : "light");
    root.dataset.look = now === "dark" ? "light" : "dark";
  });
})();
