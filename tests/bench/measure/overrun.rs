//! How long after its limit an endless policy's caller has the outcome, over HTTP: on an idle server, and on one on which
//! every core computes.

use std::time::Duration;

use lictor_tests::TestServer;

use crate::{Res, client::Client, figure, quantile_us, spinner};

const TIMEOUT: Duration = Duration::from_millis(20);
const CALLS: usize = 200;

pub(crate) fn measure() -> Res<()> {
    let server = TestServer::start();
    let short = spinner::call_of(&spinner::load(&server, "short", TIMEOUT)?);
    let long = spinner::call_of(&spinner::load(&server, "long", Duration::from_secs(1))?);
    let address = server.address();
    let overruns = || -> Res<Vec<Duration>> {
        let mut client = Client::new(address)?;
        (0..CALLS).map(|_| Ok(spinner::spin(&mut client, &short)?.saturating_sub(TIMEOUT))).collect()
    };
    let mut idle = overruns()?;
    figure("overrun_idle_us", quantile_us(&mut idle, 0.99), "us");
    let mut busy = spinner::beside(address, &long, overruns)?;
    eprintln!("  p50: idle {:.0}, busy {:.0} us", quantile_us(&mut idle, 0.5), quantile_us(&mut busy, 0.5));
    figure("overrun_busy_us", quantile_us(&mut busy, 0.99), "us");
    Ok(())
}
