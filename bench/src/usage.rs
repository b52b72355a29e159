//! What processes used, as Linux tells: CPU time and peak memory. What cannot be read is left out.

use std::{collections::BTreeMap, fs, path::Path, time::Instant};

/// Clock ticks of `/proc` in a second; the same on every Linux that Rust runs on.
const TICKS: f64 = 100.0;

/// The fields of `/proc/PID/stat` that matter here.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    /// Of the process itself.
    own_ticks: u64,
    /// Of children that ended.
    ended_ticks: u64,
}

fn read_stat(text: &str) -> Option<Stat> {
    // The second field is the program's name in parentheses and may hold spaces.
    let rest = text.rsplit_once(") ")?.1;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        own_ticks: number(11)? + number(12)?,
        ended_ticks: number(13)? + number(14)?,
    })
}

fn stat(pid: u32) -> Option<Stat> {
    read_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The parent of a process.
pub(crate) fn parent(pid: u32) -> Option<u32> {
    Some(stat(pid)?.parent)
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Seconds of CPU that a process used.
fn cpu_seconds(pid: u32) -> Option<f64> {
    Some(stat(pid)?.own_ticks as f64 / TICKS)
}

/// Seconds of CPU that a process and all its children, ended ones included, used.
fn family_seconds(pid: u32) -> Option<f64> {
    let own = stat(pid)?;
    let children = processes()
        .filter_map(stat)
        .filter(|stat| stat.parent == pid);
    let ticks: u64 = children.map(|stat| stat.own_ticks).sum();
    Some((ticks + own.own_ticks + own.ended_ticks) as f64 / TICKS)
}

/// The most memory that a process had, in MB of 10^6 bytes.
pub(crate) fn peak_mb(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    peak_of(&status)
}

/// The memory that a process has now, in kB of 1000 bytes.
pub(crate) fn resident_kb(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some(bytes_of(&status, "VmRSS:")? / 1e3)
}

fn peak_of(status: &str) -> Option<f64> {
    Some(bytes_of(status, "VmHWM:")? / 1e6)
}

fn bytes_of(status: &str, field: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kibibytes: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024.0)
}

/// The Erlang machine of private services in this folder.
pub(crate) fn rabbitmq_below(folder: &Path) -> Option<u32> {
    let folder = folder.to_str()?;
    processes().find(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        line.contains("beam") && line.contains(folder)
    })
}

/// Processes whose CPU time is compared: by name, with whether their children count too.
pub(crate) type Watched = BTreeMap<String, (u32, bool)>;

/// CPU times at some moment.
#[derive(Debug)]
pub(crate) struct Usage {
    at: Instant,
    watched: Watched,
    seconds: BTreeMap<String, f64>,
}

impl Usage {
    /// Looks now.
    pub(crate) fn begin(watched: Watched) -> Self {
        let seconds = look(&watched);
        Self {
            at: Instant::now(),
            watched,
            seconds,
        }
    }

    /// Seconds of CPU time that all of them used since.
    pub(crate) fn seconds_since(&self) -> f64 {
        look(&self.watched).values().sum::<f64>() - self.seconds.values().sum::<f64>()
    }

    /// What was used since, as in `CPU of 9.1 s: tracking 2.1 s, worker 3.0 s`.
    pub(crate) fn since(&self) -> String {
        let elapsed = self.at.elapsed().as_secs_f64();
        let now = look(&self.watched);
        let used = now.iter().map(|(name, seconds)| {
            let before = self.seconds.get(name).copied().unwrap_or_default();
            format!("{name} {:.1} s", seconds - before)
        });
        let used: Vec<String> = used.collect();
        format!("CPU in {elapsed:.1} s: {}", used.join(", "))
    }
}

fn look(watched: &Watched) -> BTreeMap<String, f64> {
    let mut seconds = BTreeMap::new();
    for (name, (pid, family)) in watched {
        let used = if *family {
            family_seconds(*pid)
        } else {
            cpu_seconds(*pid)
        };
        seconds.extend(used.map(|used| (name.clone(), used)));
    }
    seconds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_spaces_and_parentheses_do_not_shift_fields() {
        let text = "7 (a) b (c)) S 3 7 7 0 -1 0 1 2 3 4 50 60 7 8 20 0 4 0 99";
        let expected = Stat {
            parent: 3,
            own_ticks: 110,
            ended_ticks: 15,
        };
        assert_eq!(read_stat(text), Some(expected));
        assert_eq!(read_stat("7 (a"), None);
    }

    #[test]
    fn the_peak_is_in_decimal_megabytes() {
        assert_eq!(peak_of("VmPeak:\t 9 kB\nVmHWM:\t  2000 kB\n"), Some(2.048));
        assert_eq!(peak_of("Name: x\n"), None);
    }

    #[test]
    fn this_process_can_be_read() {
        let pid = std::process::id();
        assert!(peak_mb(pid).is_some_and(|mb| mb > 1.0));
        assert!(parent(pid).is_some());
        // In this order: both rise meanwhile.
        let own = cpu_seconds(pid);
        assert!(own.is_some() && family_seconds(pid) >= own);
    }
}
