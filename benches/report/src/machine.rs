//! What the report ran on: what a reader has to know to compare its figures with others.
//!
//! Everything is read from files that the kernel or the distribution writes; what is not there is left out. Nothing that names the
//! machine or its user is taken.

use std::fs;

/// Names and values, in the order in which they are shown.
pub fn describe() -> Vec<(String, String)> {
    let cpuinfo = read("/proc/cpuinfo");
    let system = rustix::system::uname();
    let kernel =
        format!("Linux {}, {}", system.release().to_string_lossy(), system.machine().to_string_lossy());
    let huge =
        |name: &str| Some(chosen(&read(&format!("/sys/kernel/mm/transparent_hugepage/{name}")))?.to_owned());
    let memory = field_mib(&read("/proc/meminfo"), "MemTotal").map(|mib| format!("{:.1} GiB", mib / 1024.0));
    let load = read("/proc/loadavg").split_whitespace().next().map(str::to_owned);
    let facts: [(&str, Option<String>); 10] = [
        ("processor", processor(&cpuinfo)),
        ("processors", Some(processors().to_string())),
        ("memory", memory),
        ("kernel", Some(kernel)),
        ("distribution", distribution(&read("/etc/os-release"))),
        ("transparent huge pages, private memory", huge("enabled")),
        ("transparent huge pages, shared memory", huge("shmem_enabled")),
        ("frequency governor", line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
        ("virtualisation", Some(virtualisation(&cpuinfo))),
        ("load at the beginning", load),
    ];
    facts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// Processors that this process may use.
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Memory that can be had without swapping, in MiB; nothing where the kernel does not say.
pub fn available_mib() -> Option<f64> {
    field_mib(&read("/proc/meminfo"), "MemAvailable")
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The one line of a file.
fn line(path: &str) -> Option<String> {
    Some(read(path).trim().to_owned()).filter(|text| !text.is_empty())
}

/// A field of `/proc/meminfo`, in MiB.
fn field_mib(meminfo: &str, name: &str) -> Option<f64> {
    let value = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(value.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? / 1024.0)
}

/// The model; on ARM, where the kernel knows no names, the numbers of maker and part.
fn processor(cpuinfo: &str) -> Option<String> {
    let field = |name: &str| {
        let (_, value) =
            cpuinfo.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| key.trim() == name)?;
        Some(value.trim().to_owned())
    };
    field("model name")
        .or_else(|| Some(format!("implementer {}, part {}", field("CPU implementer")?, field("CPU part")?)))
}

/// What a hypervisor says of itself, if there is one.
fn virtualisation(cpuinfo: &str) -> String {
    let flagged = cpuinfo
        .lines()
        .any(|line| line.starts_with("flags") && line.split_whitespace().any(|flag| flag == "hypervisor"));
    let product = line("/sys/class/dmi/id/product_name");
    let vendor = line("/sys/class/dmi/id/sys_vendor");
    match (flagged, vendor, product) {
        (true, Some(vendor), Some(product)) => format!("a virtual machine ({vendor} {product})"),
        (true, ..) => "a virtual machine".into(),
        (false, ..) if line("/sys/hypervisor/type").is_some() => "a virtual machine".into(),
        (false, ..) => "none that shows".into(),
    }
}

fn distribution(os_release: &str) -> Option<String> {
    let name = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(name.trim_matches('"').to_owned())
}

/// The one in brackets, as the kernel prints a choice.
fn chosen(choice: &str) -> Option<&str> {
    Some(choice.split_once('[')?.1.split_once(']')?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_read() {
        let meminfo = "MemTotal:       8000000 kB\nMemFree:  1 kB\nMemAvailable:    2097152 kB\n";
        assert_eq!(field_mib(meminfo, "MemAvailable"), Some(2048.0));
        assert_eq!(field_mib(meminfo, "Mem"), None);
        assert_eq!(chosen("always [madvise] never"), Some("madvise"));
        assert_eq!(chosen(""), None);
        assert_eq!(distribution("ID=x\nPRETTY_NAME=\"Some Linux 12\"\n").as_deref(), Some("Some Linux 12"));
        let intel = "processor\t: 0\nmodel name\t: Some(R) CPU @ 2GHz\nflags\t\t: fpu hypervisor\n";
        assert_eq!(processor(intel).as_deref(), Some("Some(R) CPU @ 2GHz"));
        assert!(virtualisation(intel).starts_with("a virtual machine"));
        let arm = "CPU implementer\t: 0x41\nCPU part\t: 0xd0c\n";
        assert_eq!(processor(arm).as_deref(), Some("implementer 0x41, part 0xd0c"));
        assert_eq!(processor(""), None);
    }

    #[test]
    fn this_machine_has_a_kernel_and_memory() {
        let facts = describe();
        for name in ["processors", "memory", "kernel", "virtualisation"] {
            assert!(facts.iter().any(|(known, value)| known == name && !value.is_empty()), "{name}");
        }
        assert!(available_mib().is_some_and(|mib| mib > 1.0));
    }
}
