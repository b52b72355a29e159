// Which page is shown, by the address.
import { parse, type Route } from "../../routes";

class Router {
  private path = $state(location.pathname);
  private search = $state(location.search);
  readonly route: Route = $derived(parse(this.path));
  readonly query: URLSearchParams = $derived(new URLSearchParams(this.search));
  /** Rises with each change of the page, so that focus can follow. */
  visits = $state(0);

  /** How far down the page was when it was left, in pixels, for a page that is come back to. */
  private left = 0;

  attend(): void {
    history.scrollRestoration = "manual";
    window.addEventListener("popstate", (event) => {
      const state: unknown = event.state;
      const known =
        typeof state === "object" && state !== null && "scroll" in state ? state.scroll : 0;
      this.left = typeof known === "number" ? known : 0;
      this.read();
    });
    document.addEventListener("click", (event) => this.take(event));
  }

  go(to: string): void {
    if (to !== location.pathname + location.search) {
      history.replaceState({ scroll: window.scrollY }, "");
      history.pushState(null, "", to);
    }
    this.left = 0;
    this.read();
    window.scrollTo(0, 0);
  }

  /** The page is as long as it was: shows again what was seen when it was left, once. */
  settle(): void {
    if (this.left) window.scrollTo(0, this.left);
    this.left = 0;
  }

  /** Sets the query without a new entry of the history. */
  setQuery(query: URLSearchParams): void {
    const text = query.toString();
    this.search = text ? `?${text}` : "";
    try {
      history.replaceState(history.state, "", location.pathname + this.search);
    } catch {
      // A browser may refuse many changes in a short time: the page goes by what it was told.
    }
  }

  private read(): void {
    if (this.path !== location.pathname) this.visits += 1;
    this.path = location.pathname;
    this.search = location.search;
  }

  private take(event: MouseEvent): void {
    if (
      event.defaultPrevented ||
      event.button !== 0 ||
      event.metaKey ||
      event.ctrlKey ||
      event.shiftKey ||
      event.altKey
    )
      return;
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    if (
      !link ||
      link.target ||
      link.origin !== location.origin ||
      link.hasAttribute("download") ||
      link.getAttribute("href")?.startsWith("#")
    )
      return;
    event.preventDefault();
    this.go(link.pathname + link.search);
  }
}

export const router = new Router();
