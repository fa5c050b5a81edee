// Shows openapi.json. Every text of the document is put in as text, never as markup.
"use strict";

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  for (const child of children) made.append(child);
  return made;
}

// What stands between backticks is code.
function words(text) {
  return String(text).split("`").map((part, place) => place % 2 ? element("code", {}, part) : part);
}

function table(head, rows) {
  const line = (kind, cells) => element("tr", {}, ...cells.map((cell) => element(kind, {}, ...words(cell))));
  return element("table", {}, line("th", head), ...rows.map((row) => line("td", row)));
}

function example(title, content) {
  const json = content && content["application/json"];
  if (!json || json.example === undefined) return [];
  return [element("h4", {}, title), element("pre", {}, JSON.stringify(json.example, null, 2))];
}

function fields(document_, content) {
  const json = content && content["application/json"];
  const name = json && json.schema && json.schema.$ref && json.schema.$ref.split("/").pop();
  const schema = name && document_.components.schemas[name];
  if (!schema || !schema.properties) return [];
  const required = new Set(schema.required || []);
  const kind = (field) => {
    if (field.$ref) return field.$ref.split("/").pop();
    const choices = field.oneOf || field.anyOf;
    if (choices) return choices.map(kind).join(" | ");
    if (field.items) return kind(field.items) + "[]";
    return [].concat(field.type || "").join(" | ");
  };
  const rows = Object.entries(schema.properties).map(([key, field]) =>
    [key + (required.has(key) ? " *" : ""), kind(field), field.description || ""]);
  return [element("h4", {}, "Body: " + name), table(["name", "type", ""], rows)];
}

function operation(document_, verb, path, told) {
  const roles = (told["x-roles"] || []).join(", ");
  const parameters = (told.parameters || []).map((one) =>
    [one.name + (one.required ? " *" : ""), one.in, one.description || ""]);
  const answers = Object.entries(told.responses).map(([status, answer]) =>
    [status, (answer["x-reasons"] || []).join(", ") || answer.description || ""]);
  const body = told.requestBody && told.requestBody.content;
  const ok = told.responses["200"] && told.responses["200"].content;
  const summary = element("summary", {},
    element("span", { class: "verb " + verb }, verb.toUpperCase()),
    element("span", { class: "path" }, path), " ",
    element("span", { class: "about" }, ...words(told.summary || "")));
  return element("details", { id: told.operationId }, summary,
    element("p", {}, ...words(told.description || told.summary || "")),
    element("p", {}, "Roles: " + roles),
    ...(parameters.length ? [element("h4", {}, "Parameters"), table(["name", "in", ""], parameters)] : []),
    ...fields(document_, body), ...example("Example body", body),
    element("h4", {}, "Answers"), table(["status", ""], answers), ...example("Example answer", ok));
}

function show(document_) {
  const byTag = new Map();
  for (const [path, item] of Object.entries(document_.paths)) {
    for (const [verb, told] of Object.entries(item)) {
      const tag = (told.tags || ["other"])[0];
      if (!byTag.has(tag)) byTag.set(tag, []);
      byTag.get(tag).push(operation(document_, verb, path, told));
    }
  }
  const main = document.getElementById("operations");
  for (const tag of [...byTag.keys()].sort()) {
    const id = "tag-" + tag.replaceAll(" ", "-");
    document.getElementById("tags").append(element("a", { href: "#" + id }, tag));
    main.append(element("section", {}, element("h2", { id }, tag), ...byTag.get(tag)));
  }
  document.getElementById("about").textContent = document_.info.description;
  document.getElementById("search").addEventListener("input", (event) => {
    const wanted = event.target.value.toLowerCase();
    for (const one of document.querySelectorAll("details")) {
      one.hidden = !one.firstChild.textContent.toLowerCase().includes(wanted);
    }
    for (const one of document.querySelectorAll("section")) {
      one.hidden = ![...one.querySelectorAll("details")].some((inner) => !inner.hidden);
    }
  });
}

// A link to one operation opens it.
function open() {
  const one = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!one) return;
  if (one.tagName === "DETAILS") one.open = true;
  one.scrollIntoView();
}

window.addEventListener("hashchange", open);

fetch("openapi.json")
  .then((answer) => answer.json())
  .then((document_) => { show(document_); open(); })
  .catch((error) => document.getElementById("operations").append("openapi.json: " + error));
