// Who is signed in: readers are not offered what they may not do.
import { address, ask, get } from "./api.js";
import { $, notice } from "./dom.js";

try {
  const { name, role, by } = await get(address("session"));
  document.body.dataset.role = role;
  if (by === "cookie") {
    const button = $("#logout");
    button.textContent = `Sign out ${name}`;
    button.hidden = false;
    button.addEventListener("click", async () => {
      try {
        await ask("POST", "/logout");
        location.assign("/login");
      } catch (error) {
        notice($("#notice"), error);
      }
    });
  }
} catch { /* whatever the page asks for fails as well, and says so in place */ }
