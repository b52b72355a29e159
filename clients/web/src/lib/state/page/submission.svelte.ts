// A form that is sent to the server: whether it is under way, and what was wrong with it.
import { inWords, isOvertaken, problemOf, type Problem } from "../../api/errors";
import { clause, concerns } from "../../draft";

export class Submission {
  busy = $state(false);
  refusal: Problem | undefined = $state.raw();

  /** Sends it; whether that worked. */
  async send(call: () => Promise<unknown>): Promise<boolean> {
    if (this.busy) return false;
    this.busy = true;
    this.refusal = undefined;
    try {
      await call();
      return true;
    } catch (thrown) {
      this.refusal = problemOf(thrown);
      return false;
    } finally {
      this.busy = false;
    }
  }

  /** Whether the form was filled from values that are out of date by now. */
  get overtaken(): boolean {
    return this.refusal !== undefined && isOvertaken(this.refusal);
  }

  /** What is wrong with a field of the form, by its path as `concerns` has it. */
  problem(path: string): string | undefined {
    const found = this.refusal?.fields.filter(({ field }) => concerns(path, field)).map(clause);
    return found?.length ? found.join("; ") : undefined;
  }

  /** What is wrong, but for what is told beside these fields; empty if nothing is. */
  elsewhere(paths: readonly string[]): string {
    const { refusal } = this;
    if (!refusal) return "";
    if (isOvertaken(refusal))
      return "Somebody else changed this in the meantime, so nothing was saved.";
    const told =
      refusal.fields.length > 0 &&
      refusal.fields.every(({ field }) => paths.some((path) => concerns(path, field)));
    return told ? "Check the marked fields." : inWords(refusal);
  }
}
