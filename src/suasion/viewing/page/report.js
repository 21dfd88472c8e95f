"use strict";
// The report: which middle of the seeds the curves show.
document.addEventListener("change", (event) => {
  if (event.target.name === "centre") document.body.dataset.centre = event.target.value;
});
