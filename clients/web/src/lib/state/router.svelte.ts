// Which page is shown, by the address.

export type Route =
  | { readonly page: "jobs"; readonly partition: string }
  | { readonly page: "job"; readonly partition: string; readonly job: string }
  | { readonly page: "pipes"; readonly partition: string }
  | { readonly page: "new"; readonly partition: string }
  | { readonly page: "missing"; readonly partition: string };

export const DEFAULT_PARTITION = "default";

const encode = encodeURIComponent;

export const href = {
  jobs: (partition: string) => `/partitions/${encode(partition)}/jobs`,
  job: (partition: string, job: string) => `/partitions/${encode(partition)}/jobs/${encode(job)}`,
  pipes: (partition: string) => `/partitions/${encode(partition)}/pipes`,
  create: (partition: string) => `/partitions/${encode(partition)}/new`,
};

export function parse(path: string): Route {
  const parts = path.split("/").slice(1);
  if (parts.at(-1) === "") parts.pop();
  let decoded: string[];
  try {
    decoded = parts.map(decodeURIComponent);
  } catch {
    return { page: "missing", partition: DEFAULT_PARTITION };
  }
  const [root, partition, page, job] = decoded;
  if (root === undefined) return { page: "jobs", partition: DEFAULT_PARTITION };
  if (root === "partitions" && partition) {
    if (decoded.length === 2 || (page === "jobs" && decoded.length === 3)) return { page: "jobs", partition };
    if (page === "jobs" && job && decoded.length === 4) return { page: "job", partition, job };
    if ((page === "pipes" || page === "new") && decoded.length === 3) return { page, partition };
  }
  return { page: "missing", partition: DEFAULT_PARTITION };
}

class Router {
  private path = $state(location.pathname);
  private search = $state(location.search);
  readonly route: Route = $derived(parse(this.path));
  readonly query: URLSearchParams = $derived(new URLSearchParams(this.search));
  /** Rises with each change of the page, so that focus can follow. */
  visits = $state(0);

  attend(): void {
    window.addEventListener("popstate", () => this.read());
    document.addEventListener("click", (event) => this.take(event));
  }

  go(to: string): void {
    if (to !== location.pathname + location.search) history.pushState(null, "", to);
    this.read();
    window.scrollTo(0, 0);
  }

  /** Sets the query without a new entry of the history. */
  setQuery(query: URLSearchParams): void {
    const text = query.toString();
    history.replaceState(history.state, "", location.pathname + (text ? `?${text}` : ""));
    this.search = location.search;
  }

  private read(): void {
    if (this.path !== location.pathname) this.visits += 1;
    this.path = location.pathname;
    this.search = location.search;
  }

  private take(event: MouseEvent): void {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    if (!link || link.target || link.origin !== location.origin || link.hasAttribute("download") || link.getAttribute("href")?.startsWith("#")) return;
    event.preventDefault();
    this.go(link.pathname + link.search);
  }
}

export const router = new Router();
