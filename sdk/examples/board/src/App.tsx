import { useCallback, useEffect, useState } from "react";
import { people, perform, type Done, type Person } from "./backend.js";
import { Pane } from "./Pane.js";

/** A statement that a click ran. */
interface Entry extends Done {
  readonly n: number;
  readonly who: string;
}

type Theme = "system" | "light" | "dark";

export function App() {
  const [list, setList] = useState<readonly Person[]>();
  const [problem, setProblem] = useState("");
  const [left, setLeft] = useState("owner");
  const [right, setRight] = useState("staff");
  const [log, setLog] = useState<readonly Entry[]>([]);
  const [theme, setTheme] = useState<Theme>("system");

  useEffect(() => {
    people().then(setList, (e: unknown) => setProblem(String(e)));
  }, []);
  useEffect(() => {
    document.documentElement.dataset["theme"] = theme;
  }, [theme]);

  const run = useCallback(async (who: string, action: string, id: string) => {
    try {
      const done = await perform(action, id);
      setProblem("");
      setLog((l) => [{ ...done, who, n: (l[0]?.n ?? 0) + 1 }, ...l].slice(0, 30));
      return done;
    } catch (e) {
      setProblem(e instanceof Error ? e.message : String(e));
      return undefined;
    }
  }, []);

  return (
    <>
      <header className="top">
        <h1>
          walwire <span>the day board</span>
        </h1>
        <p>Two people, one database. A click writes a row with plain SQL; what each pane shows comes from PostgreSQL's log.</p>
        <label>
          Theme
          <select value={theme} onChange={(e) => setTheme(e.target.value as Theme)}>
            <option value="system">as the system</option>
            <option value="light">light</option>
            <option value="dark">dark</option>
          </select>
        </label>
      </header>
      {problem && (
        <p className="problem" role="alert">
          {problem}
        </p>
      )}
      <main className="panes">
        {list ? (
          <>
            <Pane side="Left" list={list} who={left} choose={setLeft} run={run} />
            <Pane side="Right" list={list} who={right} choose={setRight} run={run} />
          </>
        ) : (
          <p className="empty">{problem ? "The demo's server does not answer." : "One moment."}</p>
        )}
      </main>
      <section className="sql" aria-label="SQL">
        <h2>What the clicks ran</h2>
        {log.length === 0 ? (
          <p className="empty">Nothing yet. Confirm an appointment, or let somebody take a break.</p>
        ) : (
          <ol reversed aria-live="polite">
            {log.map((e) => (
              <li key={e.n}>
                <code>{e.sql}</code>
                <small>
                  {e.rows} {e.rows === 1 ? "row" : "rows"}, {e.lsn}, by {e.who}
                </small>
              </li>
            ))}
          </ol>
        )}
      </section>
    </>
  );
}
