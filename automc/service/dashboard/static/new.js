// The form that starts a campaign, made from the schema of its configuration.
import { address, ask, get } from "./api.js";
import { budgets } from "./budgets.js";
import { campaignPage } from "./campaign_parts.js";
import { $, fill, h, notice } from "./dom.js";
import { chooser, field, model, resolve, showMistakes, single } from "./fields.js";
import { rungs } from "./rungs.js";

const form = $("#form"), root = JSON.parse(form.dataset.schema);
const OWN = "as set below"; // a fidelity without a name
const part = (key) => resolve(root.properties[key], root);

/** A name that no other request has. `crypto.randomUUID` is there with https only. */
const fresh = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

const group = (title, ...nodes) => h("fieldset", {}, h("legend", {}, title), h("div", { class: "fields" }, nodes));
const more = (title, nodes) => h("details", {}, h("summary", {}, title), h("div", { class: "fields" }, nodes));
const kept = (values) => (Object.keys(values).length ? values : undefined);

function build(tasks, agents, presets, devices) {
  const name = h("input", { type: "text", maxlength: 80, autocomplete: "off", placeholder: "after its task" });
  const { node: task, box: taskBox } = chooser("task", "task", tasks);
  const { node: agent, box: agentBox } = chooser("config.agent", "agent", agents, "auto");
  const { node: device, box: deviceBox } = chooser("config.device.target", "device", devices, "local");
  const { node: preset, box: presetBox } = chooser("config.space.preset", "search space", presets, "all");
  const devicePart = model(part("device"), root, "config.device", { leave: ["target"] });
  const space = model(part("space"), root, "config.space");
  const fidelities = JSON.parse(form.dataset.fidelities);
  const { node: fidelity, box: fidelityBox, tell: tellFidelity } = chooser("config.fidelity.name", "fidelity", [...fidelities, { name: OWN, what: "the keys below" }], "normal");
  const promotions = rungs(fidelities, () => fidelity.value);
  const looks = model(part("fidelity"), root, "config.fidelity");
  const tuning = model(part("finetune"), root, "config.finetune", { about: "fine-tuning" }), limits = model(part("limits"), root, "config.limits");
  const compute = model(part("compute"), root, "config.compute", { leave: ["ray_address"] });
  const methods = model(part("methods"), root, "config.methods");
  const singles = Object.fromEntries(["evaluations", "finalists", "seed", "ahead", "tensorboard"].map((key) => [key, single(root, key, `config.${key}`)]));
  const settings = h("div", {}), budget = budgets();
  let settingsPart = null;

  function agentChosen() {
    const chosen = agents.find((one) => one.name === agent.value);
    budget.offer(chosen.metrics);
    settingsPart = model(chosen.settings, chosen.settings, "config.agent_args");
    fill(settings, settingsPart.nodes.length ? more(`Settings of ${chosen.name}`, settingsPart.nodes) : h("p", { class: "help" }, `${chosen.name} has no settings.`));
  }

  const presetChosen = () => space.write(presets.find((one) => one.name === preset.value).config);
  agent.addEventListener("change", agentChosen);
  preset.addEventListener("change", presetChosen);
  const names = h("div", { class: "fields" }, taskBox, field("name", "name", name, "Letters, digits, '.', '_' and '-'."));
  const send = h("button", { class: "main" }, "Start the campaign");
  fill(form,
    h("fieldset", {}, h("legend", {}, "What"), names),
    budget.node,
    h("fieldset", { data: { field: "config.agent_args" } }, h("legend", {}, "Who searches"),
      h("div", { class: "fields" }, agentBox, singles.evaluations.node, singles.seed.node), h("p", { class: "wrong", hidden: true }), settings),
    group("What it will run on", deviceBox, devicePart.nodes),
    h("fieldset", { data: { field: "config.space" } }, h("legend", {}, "What may be chosen"),
      h("div", { class: "fields" }, presetBox), h("p", { class: "wrong", hidden: true }),
      more("Keys of the search space", space.nodes)),
    h("fieldset", { data: { field: "config.fidelity" } }, h("legend", {}, "How much each evaluation looks at"),
      h("div", { class: "fields" }, fidelityBox), h("p", { class: "wrong", hidden: true }),
      more("Keys of the fidelity", looks.nodes), promotions.node),
    h("fieldset", {}, h("legend", {}, "After the search"),
      h("div", { class: "fields" }, singles.finalists.node, tuning.nodes[0]), more("More about fine-tuning", tuning.nodes.slice(1))),
    group("When to end the search early", limits.nodes),
    h("fieldset", { data: { field: "config" } }, h("legend", {}, "Rarely needed"), h("p", { class: "wrong", hidden: true }), more("Compute, methods and the rest", [...compute.nodes, singles.ahead.node, singles.tensorboard.node, ...methods.nodes])),
    h("div", { class: "actions" }, send));
  agentChosen();
  presetChosen();
  let presetRead = JSON.stringify(space.read()); // whether its keys were changed since
  preset.addEventListener("change", () => { presetRead = JSON.stringify(space.read()); });
  form.addEventListener("input", (event) => {
    if (!looks.nodes.some((node) => node.contains(event.target))) return;
    fidelity.value = OWN;
    tellFidelity();
  });

  const read = () => {
    const config = { agent: agent.value, budget: budget.read() };
    const parts = {
      agent_args: kept(settingsPart.read()),
      device: kept({ ...(device.value === "local" ? {} : { target: device.value }), ...devicePart.read() }),
      space: JSON.stringify(space.read()) === presetRead ? preset.value : { ...presets.find((one) => one.name === preset.value).config, ...space.read() },
      fidelity: fidelity.value === "normal" ? undefined : fidelity.value === OWN ? kept(looks.read()) : fidelity.value,
      rungs: promotions.read(),
      finetune: kept(tuning.read()), limits: kept(limits.read()), compute: kept(compute.read()), methods: kept(methods.read()),
      ...Object.fromEntries(Object.entries(singles).map(([key, one]) => [key, one.read()])),
    };
    for (const [key, value] of Object.entries(parts)) if (value !== undefined) config[key] = value;
    return { task: task.value, ...(name.value.trim() ? { name: name.value.trim() } : {}), config };
  };
  return { read, send };
}

/** Sends the form. The same form sent again, by a double click or after the line broke, makes one campaign. */
function sending({ read, send }) {
  let key = fresh(), sent = "";
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (send.disabled) return;
    const request = read(), text = JSON.stringify(request);
    if (text !== sent) [key, sent] = [fresh(), text];
    send.disabled = true;
    notice($("#notice"));
    showMistakes(form, []);
    try {
      const made = await ask("POST", address("campaigns"), { body: request, headers: { "Idempotency-Key": key } });
      location.assign(campaignPage(made.name));
    } catch (error) {
      send.disabled = false;
      const { rest, first } = showMistakes(form, error.fields ?? []);
      const words = error.fields?.length ? "This cannot be started yet; what is wrong is said at the fields." : error.message;
      fill($("#notice"), h("div", { class: "notice bad" }, words, rest.length ? h("ul", {}, rest.map((one) => h("li", {}, `${one.field}: ${one.message}`))) : null));
      if (first) first.focus();
      else $("#notice").scrollIntoView({ block: "center" });
    }
  });
}

try {
  sending(build(...(await Promise.all(["tasks", "agents", "presets", "devices"].map((what) => get(address(what)))))));
} catch (error) {
  form.removeAttribute("aria-busy");
  notice($("#notice"), error);
}
