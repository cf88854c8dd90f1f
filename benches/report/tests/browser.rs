//! The page in a browser, where there is one: every text of every picture is where it can be read, by the browser's own measure.

mod support;

use palimpsest_report::draw::{page, pictures};
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use std::{env, fs};

/// How long a browser may take; on a loaded machine it takes ten seconds.
const PATIENCE: Duration = Duration::from_secs(90);

fn browser() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|program| program.is_file())
}

/// The document as it is in the browser after its styles and scripts; nothing where the browser does not work here.
fn opened(browser: &Path, file: &Path, folder: &Path) -> Option<String> {
    let (profile, dump) = (folder.join("profile"), folder.join("dump.html"));
    if let Err(error) = fs::remove_dir_all(&profile) {
        assert_eq!(error.kind(), ErrorKind::NotFound, "{}: {error}", profile.display());
    }
    let mut child = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
        ])
        .args(["--disable-component-update", "--disable-sync", "--hide-scrollbars"])
        .args(["--dump-dom", "--window-size=1200,900"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("file://{}", file.display()))
        .stdout(File::create(&dump).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .expect("the browser that was found");
    let started = Instant::now();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if started.elapsed() < PATIENCE => sleep(Duration::from_millis(50)),
            None => {
                child.kill().unwrap();
                child.wait().unwrap();
                println!("skipped: the browser does not come to an end");
                return None;
            }
        }
    };
    if !status.success() {
        println!("skipped: the browser ended with {status}");
        return None;
    }
    Some(fs::read_to_string(&dump).unwrap())
}

#[test]
fn a_browser_shows_all_of_it() {
    let Some(browser) = browser() else {
        println!("skipped: no browser here");
        return;
    };
    let results = support::full();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = folder.join("report.html");
    // A line of script asks the browser itself where it has put every text; the page has none of its own.
    let asking = "<script>addEventListener('load',()=>{const out=[];\
        document.querySelectorAll('details').forEach(fold=>fold.open=true);\
        document.querySelectorAll('svg').forEach(svg=>{const all=svg.getBoundingClientRect();\
        const texts=[...svg.querySelectorAll('text')].map(text=>[text.textContent,text.getBoundingClientRect()]);\
        texts.forEach(([one,a],i)=>{if(a.width<1||a.left<all.left||a.right>all.right||a.top<all.top||a.bottom>all.bottom)\
        out.push('outside: '+one);\
        texts.slice(0,i).forEach(([other,b])=>{if(a.left<b.right&&b.left<a.right&&a.top+3<b.bottom-3&&b.top+3<a.bottom-3)\
        out.push('overlap: '+one+' | '+other)})})});\
        document.title='pictures='+document.querySelectorAll('svg').length+' faults='+out.length+' '+out.slice(0,20).join('; ')})</script>";
    fs::write(&file, page(&results).unwrap()).unwrap();
    let asked = folder.join("asked.html");
    fs::write(&asked, page(&results).unwrap().replace("</body>", &format!("{asking}</body>"))).unwrap();
    let Some(document) = opened(&browser, &asked, folder) else { return };
    let title =
        document.split("<title>").nth(1).and_then(|rest| rest.split("</title>").next()).expect("a title");
    let expected = format!("pictures={} faults=0", pictures(&results).unwrap().len());
    assert_eq!(title.trim(), expected);
}
