// What draining a host would do: for each machine on it, where it may go, or why it stays. Pure; capacity is the API's to judge.

import type { HostNode, Instance } from "../api/types";

export interface Step {
  instance: Instance;
  /** Hosts that may take it, the emptiest first; none when it stays. */
  to: string[];
  stays?: "not_running" | "no_host";
}

export function plan(from: string, hosts: HostNode[], instances: Instance[]): Step[] {
  const room = (host: HostNode) => host.offering_memory_size - host.used_memory_size;
  const to = hosts
    .filter((host) => host.id !== from && host.scheduling_enabled && host.status === "online")
    .sort((one, other) => room(other) - room(one))
    .map((host) => host.id);
  return instances
    .filter((one) => one.host_node === from)
    .map((instance) => {
      if (instance.state !== "running" && instance.state !== "migrating") return { instance, to: [], stays: "not_running" };
      return to.length === 0 ? { instance, to, stays: "no_host" } : { instance, to };
    });
}

/** Refusals of one target after which the next is tried. */
export const NEXT_HOST = ["out_of_host_capacity", "host_cannot_move"];
