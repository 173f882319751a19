//! The load generator: wrk, with one thread and 32 connections that are kept.

use std::{process::Command, time::Duration};

use crate::Res;

/// What wrk says of a run.
#[derive(Debug, PartialEq)]
pub(crate) struct Load {
    pub(crate) rate: f64,
    pub(crate) requests: u64,
    pub(crate) p99: Duration,
}

pub(crate) fn run(url: &str, script: &str, seconds: u32) -> Res<Load> {
    let output = Command::new("wrk")
        .args(["--latency", "-t1", "-c32", &format!("-d{seconds}s"), "-s", script, url])
        .output()
        .map_err(|error| format!("wrk: {error}"))?;
    let said = String::from_utf8(output.stdout)?;
    if !output.status.success() {
        return Err(format!("wrk: {said}{}", String::from_utf8_lossy(&output.stderr)).into());
    }
    read(&said)
}

fn read(said: &str) -> Res<Load> {
    let after = |mark: &str| {
        let line = said.lines().map(str::trim).find_map(|line| line.strip_prefix(mark));
        line.map(str::trim).ok_or(format!("wrk said nothing of `{mark}`:\n{said}"))
    };
    if let Ok(refused) = after("Non-2xx or 3xx responses:") {
        return Err(format!("{refused} answers were refusals").into());
    }
    let requests = said.lines().find_map(|line| line.split_once(" requests in ")).ok_or("wrk counted nothing")?.0;
    Ok(Load {
        rate: after("Requests/sec:")?.parse()?,
        requests: requests.trim().parse()?,
        p99: duration(after("99%")?)?,
    })
}

/// A time with wrk's units.
fn duration(text: &str) -> Res<Duration> {
    // The longest unit that fits: `ms` ends in `s` too.
    for (unit, seconds) in [("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0)] {
        if let Some(number) = text.strip_suffix(unit) {
            return Ok(Duration::try_from_secs_f64(number.trim().parse::<f64>()? * seconds)?);
        }
    }
    Err(format!("`{text}` is no time").into())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Load, duration, read};

    const SAID: &str = "\
Running 3s test @ http://127.0.0.1:7005/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   285.14us  431.12us  10.99ms   96.31%
    Req/Sec   116.27k     4.42k  122.90k    70.00%
  Latency Distribution
     50%  206.00us
     75%  284.00us
     90%  402.00us
     99%    2.31ms
  347044 requests in 3.00s, 72.81MB read
Requests/sec: 115656.97
Transfer/sec:     24.26MB
";

    #[test]
    fn reads_what_wrk_says() {
        let expected = Load { rate: 115_656.97, requests: 347_044, p99: Duration::from_micros(2_310) };
        assert_eq!(read(SAID).unwrap(), expected);
    }

    #[test]
    fn refusals_are_no_requests() {
        let said = SAID.replace("Requests/sec", "  Non-2xx or 3xx responses: 7\nRequests/sec");
        assert_eq!(read(&said).unwrap_err().to_string(), "7 answers were refusals");
    }

    #[test]
    fn output_of_something_else_is_refused() {
        for said in ["", "unable to connect to 127.0.0.1:1 Connection refused"] {
            assert!(read(said).is_err());
        }
    }

    #[test]
    fn reads_every_unit() {
        let cases = [("950.00us", 950), ("1.68ms", 1_680), ("1.14s", 1_140_000), ("2.00m", 120_000_000)];
        for (text, micros) in cases {
            assert_eq!(duration(text).unwrap(), Duration::from_micros(micros), "{text}");
        }
        assert!(duration("1.00h").is_err());
    }
}
