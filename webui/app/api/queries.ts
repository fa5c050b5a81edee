// What a page asks for. Rule: a query's key begins with the first word of its path, so that events find what they concern.

import { keepPreviousData, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type Method, type Page, type Query, Refused, type Tagged, get, getTagged, list, send } from "./client";

function keyOf(path: string, query: Query): unknown[] {
  return [path.split("/")[0], path, query];
}

interface Options {
  enabled?: boolean;
  /** For what no event tells of: how often it is looked at. */
  every?: number;
}

export function useOne<T>(path: string, query: Query = {}, { enabled = true, every }: Options = {}) {
  return useQuery<T, Refused>({
    queryKey: keyOf(path, query),
    queryFn: ({ signal }) => get<T>(path, query, signal),
    enabled,
    refetchInterval: every ?? false,
  });
}

/** With its tag, for what is edited in place. The tag is of one language's words. */
export function useTagged<T>(path: string, language: string) {
  return useQuery<Tagged<T>, Refused>({ queryKey: [...keyOf(path, {}), "tagged", language], queryFn: ({ signal }) => getTagged<T>(path, signal) });
}

/** Looked at again, or not, by what was found. */
export type Pace<T> = (rows: T[]) => number | false;

interface ListOptions<T> extends Omit<Options, "every"> {
  every?: number | Pace<T>;
}

export function useList<T>(path: string, query: Query = {}, { enabled = true, every }: ListOptions<T> = {}) {
  return useQuery<Page<T>, Refused>({
    queryKey: keyOf(path, query),
    queryFn: ({ signal }) => list<T>(path, query, signal),
    enabled,
    refetchInterval: typeof every === "function" ? (one) => every(one.state.data?.results ?? []) : (every ?? false),
    placeholderData: keepPreviousData,
  });
}

export interface Change {
  method: Method;
  path: string;
  body?: unknown;
  query?: Query;
  /** Only while it is this version. */
  ifMatch?: string | undefined;
}

/** A change; when it is answered, what its path's first word shows is looked at again. */
export function useChange<T = unknown>(done?: (answer: T) => void) {
  const client = useQueryClient();
  return useMutation<T, Refused, Change>({
    mutationFn: ({ method, path, body, query, ifMatch }) => send<T>(method, path, body, query, ifMatch),
    onSuccess: (answer, { path, query }) => {
      if (!query?.["plan"]) void client.invalidateQueries({ queryKey: [path.split("/")[0]] });
      done?.(answer);
    },
  });
}
