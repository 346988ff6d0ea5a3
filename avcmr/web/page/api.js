// Requests to the server.

export class RequestError extends Error {}

async function answer(request) {
  let response;
  try {
    response = await request;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new RequestError("The server cannot be reached. Is avcmr serve still running?");
  }
  const body = await response.json().catch(() => null);
  if (response.ok) return body;
  const detail = typeof body?.detail === "string" ? body.detail : `error ${response.status}`;
  throw new RequestError(detail);
}

/** GET as JSON; empty parameters are left out. */
export function get(path, parameters = {}, signal = undefined) {
  const given = Object.entries(parameters).filter(([, value]) => value !== "" && value != null);
  const query = new URLSearchParams(given).toString();
  return answer(fetch(query ? `${path}?${query}` : path, { signal }));
}

/** Upload a file as a query. */
export function upload(file) {
  const headers = { "Content-Type": "application/octet-stream" };
  return answer(fetch("/api/queries", { method: "POST", body: file, headers }));
}
