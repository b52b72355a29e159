// The addresses of the pages.

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
