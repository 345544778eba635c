// The API: requests, and the stream of what happens to a campaign.

const PREFIX = "/api/v1";
const WANTED = "automc-wanted";
const AGAIN = 5000; // milliseconds until a stream that was refused is opened again

/** What the API refused: a stable code, a line for people, and mistakes by field. */
export class Problem extends Error {
  constructor(status, told = {}) {
    super(told.detail || `the server answered ${status} without a reason`);
    this.status = status;
    this.code = told.code || "";
    this.fields = told.fields || [];
  }
}

export const address = (...parts) => PREFIX + parts.map((part) => `/${encodeURIComponent(part)}`).join("");

/** One request to an address; resolves to what was answered. */
export async function ask(method, where, { query = {}, body, headers = {} } = {}) {
  const asked = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined));
  const options = { method, headers: { ...headers }, credentials: "same-origin" };
  if (method !== "GET") options.headers["X-AutoMC"] = "1";
  if (body instanceof URLSearchParams) options.body = body;
  else if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  let answer;
  try {
    answer = await fetch(asked.size ? `${where}?${asked}` : where, options);
  } catch {
    throw new Problem(0, { detail: "The server does not answer. Is it running, and this machine online?" });
  }
  if (answer.status === 401 && where !== "/login") return signIn();
  const told = answer.status === 204 ? null : await answer.json().catch(() => null);
  if (!answer.ok) throw new Problem(answer.status, told ?? {});
  return told;
}

export const get = (where, query) => ask("GET", where, { query });

/** Leads to the page that asks for a token; never resolves. */
function signIn() {
  sessionStorage.setItem(WANTED, location.pathname + location.search);
  location.assign("/login");
  return new Promise(() => {});
}

/** Goes to the page that somebody wanted before they had to sign in. */
export function goOn() {
  const wanted = sessionStorage.getItem(WANTED) ?? "/";
  sessionStorage.removeItem(WANTED);
  location.replace(wanted.startsWith("/") && !wanted.startsWith("//") ? wanted : "/");
}

/** All pages of a list, one after the other. */
export async function all(where, query = {}) {
  const found = [];
  for (;;) {
    const page = await get(where, { ...query, offset: found.length, limit: 500 });
    found.push(...page.items);
    if (!page.items.length || found.length >= page.total) return found;
  }
}

/**
 * Follows a campaign, as long as the page can be seen: browsers have few connections to one server.
 * `listeners`: `campaign(detail)`, `evaluation(row)`, those that have ended too, `open()` and `lost(text)`.
 */
export function follow(name, listeners) {
  const where = `${address("campaigns", name, "events")}?from=start`;
  let stream = null, timer, over = false;

  async function again(words) {
    listeners.lost(words);
    try {
      await get(address("campaigns", name)); // why: a stream does not say, and whoever must sign in is led there
    } catch (error) {
      listeners.lost(error.message);
      if (error.status === 404) over = true;
    }
    if (!over && !document.hidden) timer = setTimeout(open, AGAIN);
  }

  function open() {
    stream = new EventSource(where);
    stream.addEventListener("open", () => listeners.open());
    for (const kind of ["campaign", "evaluation"]) {
      stream.addEventListener(kind, (event) => listeners[kind](JSON.parse(event.data)));
    }
    stream.addEventListener("end", (event) => {
      stream.close();
      const { reason } = JSON.parse(event.data);
      if (reason === "stopped" || reason === "refused") again("The server has ended live updates; trying again.");
      else over = true;
      if (reason === "deleted") listeners.lost("This campaign was deleted.");
    });
    stream.addEventListener("error", () => {
      if (stream.readyState === EventSource.CLOSED) again("Live updates are interrupted; trying again.");
      else listeners.lost("Live updates are interrupted; trying again."); // the browser does, by itself
    });
  }

  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    stream?.close();
    if (!document.hidden && !over) open();
  });
  if (!document.hidden) open();
}
