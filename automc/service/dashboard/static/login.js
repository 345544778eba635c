// Signing in: what is wrong with a token is said in place.
import { ask, goOn } from "./api.js";
import { $, notice } from "./dom.js";

const form = $("#login");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    await ask("POST", "/login", { body: new URLSearchParams(new FormData(form)) });
    goOn();
  } catch (error) {
    notice($("#notice"), error);
    form.token.setAttribute("aria-invalid", "true");
    form.token.select();
    button.disabled = false;
  }
});
