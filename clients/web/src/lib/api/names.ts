// Names of resources, and the ids in them.

export interface JobName {
  readonly partition: string;
  readonly job: string;
}

export function partitionName(partition: string): string {
  return `partitions/${partition}`;
}

export function jobName({ partition, job }: JobName): string {
  return `partitions/${partition}/jobs/${job}`;
}

export function pipeName(partition: string, pipe: string): string {
  return `partitions/${partition}/pipes/${pipe}`;
}

/** The limits of a pipe, which hold for all partitions. */
export function limitsName(pipe: string): string {
  return `pipes/${pipe}/limits`;
}

/** The id of a job by its name, or the last part of any other name. */
export function lastPart(name: string): string {
  return name.slice(name.lastIndexOf("/") + 1);
}

/** What is wrong with an id of a partition or job, if anything. */
export function idProblem(id: string): string | undefined {
  if (!id) return "An id has at least one character.";
  if (new TextEncoder().encode(id).length > 128) return "An id has at most 128 bytes.";
  const bad = /[/.,:;*?!|()]/.exec(id)?.[0];
  if (bad) return `An id cannot contain “${bad}”.`;
  if (/\p{Cc}/u.test(id)) return "An id cannot contain control characters.";
  return undefined;
}
