// The workspace over HTTP: a person's views and actions.

async function answer(response) {
  const body = await response.json();
  if (body.ok === false) throw new Error(body.error);
  return body;
}

export const look = async (name, query) => answer(await fetch(`/_ui/${name}?${new URLSearchParams(query)}`));

export const act = async (name, body) =>
  answer(
    await fetch(`/_ui/${name}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    }),
  );

/** Call `changed(notes, reset)` after every change, without end. */
export async function follow(seq, changed, lost) {
  for (;;) {
    try {
      const { seq: now, changes, reset } = await look("changes", { after: seq, wait: 25 });
      seq = now;
      if (changes.length || reset) await changed(changes, reset);
      lost(false);
    } catch {
      lost(true);
      await new Promise((resume) => setTimeout(resume, 1000));
    }
  }
}
