/** Somebody whose view can be shown. */
export interface Person {
  readonly name: string;
  readonly label: string;
  readonly token: string;
}

/** What a click came to. */
export interface Done {
  readonly sql: string;
  readonly rows: number;
  readonly lsn: string;
}

async function call<T>(path: string, body?: object): Promise<T> {
  const response = await fetch(path, body ? { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) } : {});
  const answer = (await response.json()) as T & { readonly error?: string };
  if (!response.ok) {
    throw new Error(answer.error ?? `HTTP ${response.status}`);
  }
  return answer;
}

export const people = () => call<Person[]>("/demo/people");
/** A token of now: asked at every connection. */
export async function tokenOf(name: string): Promise<string> {
  return (await people()).find((p) => p.name === name)?.token ?? "";
}
export const perform = (action: string, id: string) => call<Done>("/demo/do", { action, id });
