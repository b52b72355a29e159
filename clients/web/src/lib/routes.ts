// The addresses of the pages.

/** The pages of a partition beside its jobs. */
const SECTIONS = ["pipes", "schedules", "types", "settings", "new"] as const;
export type Section = (typeof SECTIONS)[number];

export type Route =
  | { readonly page: "jobs"; readonly partition: string }
  | { readonly page: "job"; readonly partition: string; readonly job: string }
  | { readonly page: Section; readonly partition: string }
  | { readonly page: "missing"; readonly partition: string };

export const DEFAULT_PARTITION = "default";

const encode = encodeURIComponent;

export const href = {
  jobs: (partition: string) => `/partitions/${encode(partition)}/jobs`,
  job: (partition: string, job: string) => `/partitions/${encode(partition)}/jobs/${encode(job)}`,
  section: (partition: string, section: Section) => `/partitions/${encode(partition)}/${section}`,
  /** A new job, of a type if one is named. */
  create: (partition: string, type?: string) =>
    `/partitions/${encode(partition)}/new${type === undefined ? "" : `?type=${encode(type)}`}`,
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
    if (decoded.length === 2 || (page === "jobs" && decoded.length === 3))
      return { page: "jobs", partition };
    if (page === "jobs" && job && decoded.length === 4) return { page: "job", partition, job };
    const section = SECTIONS.find((known) => known === page);
    if (section && decoded.length === 3) return { page: section, partition };
  }
  return { page: "missing", partition: DEFAULT_PARTITION };
}
