// The one way to the API: requests with our mark, answers or refusals. No secret is known here: the cookie is the browser's.

import type { components } from "./schema";

export type Schemas = components["schemas"];
export type ErrorBody = Schemas["ErrorBody"];
export interface Page<T> {
  total: number;
  start: number;
  limit: number;
  results: T[];
}

const API = "/api/12.03";

/** What the API refused, in its words; or that it cannot be reached, in ours. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly body: Partial<ErrorBody>,
  ) {
    super(body.message ?? body.reason ?? String(status));
  }
}

/** Of every request: the language its words come in and the account it acts for. */
const frame = { language: "ja", account: "" };

export function setFrame(change: Partial<typeof frame>): void {
  Object.assign(frame, change);
}

let onSignedOut: () => void = () => {};

/** Called when the API does not know the session any more. */
export function whenSignedOut(call: () => void): void {
  onSignedOut = call;
}

export type Query = Record<string, string | number | boolean | undefined>;

export function address(path: string, query: Query = {}): string {
  const words = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== "") words.set(name, String(value));
  }
  const text = words.toString();
  return `${API}/${path}${text ? `?${text}` : ""}`;
}

export function headers(more: Record<string, string> = {}): Record<string, string> {
  const own: Record<string, string> = { "X-Arame-Page": "1", "Accept-Language": frame.language, ...more };
  if (frame.account) own["X-VDC-Account-UUID"] = frame.account;
  return own;
}

/** A refusal as it is in the answer. */
export async function refusal(response: Response): Promise<Refused> {
  const body = (await response.json().catch(() => ({}))) as Partial<ErrorBody>;
  if (response.status === 401) onSignedOut();
  return new Refused(response.status, body);
}

async function ask(url: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, { credentials: "same-origin", ...init });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Refused(0, { reason: "offline" });
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

export async function get<T>(path: string, query: Query = {}, signal?: AbortSignal): Promise<T> {
  const response = await ask(address(path, query), { headers: headers(), signal: signal ?? null });
  return (await response.json()) as T;
}

/** One thing with the tag that a change of exactly this version names (RFC 9110, 8.8.3). */
export interface Tagged<T> {
  one: T;
  tag: string | undefined;
}

export async function getTagged<T>(path: string, signal?: AbortSignal): Promise<Tagged<T>> {
  const response = await ask(address(path), { headers: headers(), signal: signal ?? null });
  return { one: (await response.json()) as T, tag: response.headers.get("ETag") ?? undefined };
}

/** One page of a list, out of the envelope of Wakame's API. */
export async function list<T>(path: string, query: Query = {}, signal?: AbortSignal): Promise<Page<T>> {
  const pages = await get<Page<T>[]>(path, query, signal);
  return pages[0] ?? { total: 0, start: 0, limit: 0, results: [] };
}

export async function text(path: string, query: Query = {}, accept = "text/plain"): Promise<string> {
  const response = await ask(address(path, query), { headers: headers({ Accept: accept }) });
  return response.text();
}

export async function blob(path: string, signal?: AbortSignal): Promise<Blob> {
  const response = await ask(address(path), { headers: headers(), signal: signal ?? null });
  return response.blob();
}

export type Method = "POST" | "PUT" | "DELETE";

/** `ifMatch`: refused (412) where it is not this version any more. */
export async function send<T>(method: Method, path: string, body?: unknown, query: Query = {}, ifMatch?: string): Promise<T> {
  // A change that is asked for once happens once, whatever the network does between.
  const own: Record<string, string> = query["plan"] ? {} : { "Idempotency-Key": crypto.randomUUID?.() ?? key() };
  if (ifMatch) own["If-Match"] = ifMatch;
  const init: RequestInit = { method, headers: headers(own) };
  if (body !== undefined) {
    init.headers = headers({ ...own, "Content-Type": "application/json" });
    init.body = JSON.stringify(body);
  }
  const response = await ask(address(path, query), init);
  return (await response.json()) as T;
}

/** Where the page does not come by HTTPS nor from this machine, browsers have no `randomUUID`. */
function key(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export async function signIn(body: { name: string; password: string } | { token: string }): Promise<void> {
  await ask("/session", {
    method: "POST",
    headers: headers({ "Content-Type": "application/json" }),
    body: JSON.stringify(body),
  });
}

export async function signOut(): Promise<void> {
  await ask("/session", { method: "DELETE", headers: headers() });
}

/** Sends a file and tells how much of it is on its way: `fetch` cannot. */
export function upload(path: string, file: Blob, told: (part: number) => void, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", address(path));
    for (const [name, value] of Object.entries(headers())) request.setRequestHeader(name, value);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.onprogress = (event) => told(event.lengthComputable ? event.loaded / event.total : 0);
    request.onerror = () => reject(new Refused(0, { reason: "offline" }));
    request.onabort = () => reject(new DOMException("", "AbortError"));
    request.onload = () => {
      if (request.status < 300) return resolve();
      let body: Partial<ErrorBody> = {};
      try {
        body = JSON.parse(request.responseText) as Partial<ErrorBody>;
      } catch {
        // Not one of ours: the status is all there is to tell.
      }
      reject(new Refused(request.status, body));
    };
    signal.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}
