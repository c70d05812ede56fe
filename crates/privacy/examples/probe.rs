//! Probe.
use std::time::Instant;
use userprint_privacy::*;
fn main() {
    let text = std::fs::read_to_string("/work/shared/reference/dp_reference.json").unwrap();
    let v: serde_json::Value = serde_json::from_str(&text.replace("Infinity", "1e300")).unwrap();
    for row in v["forward"].as_array().unwrap() {
        let g = |k: &str| row[k].as_f64().unwrap();
        let e = DpEvent::gaussian(g("sigma")).poisson_sampled(g("q")).repeated(g("steps") as u64);
        let t = Instant::now();
        let eps = PldAccountant::default().epsilon(&e, g("delta")).unwrap();
        let el = t.elapsed();
        let b = PldAccountant::default().epsilon_bracket(&e, g("delta")).unwrap();
        let google = g("pld_google_eps_h1e-4");
        println!(
            "{:18} {el:?} pess {eps:.9} opt {:.9} width/eps {:.1e} google {google:.9} rel {:.2e} prv {} delta {:.6e}",
            row["name"].as_str().unwrap(),
            b.optimistic,
            (b.pessimistic - b.optimistic) / eps,
            eps / google - 1.0,
            row["prv_ms_low_est_up"][1],
            PldAccountant::default().delta(&e, eps).unwrap()
        );
        let r = RdpAccountant::default().epsilon(&e, g("delta")).unwrap();
        println!("    rdp {:.2e}", r / g("opacus_rdp_eps") - 1.0);
    }
    for g in [1, 4] {
        let e = DpEvent::example_sampled(1.0, 0.01, g).repeated(1000);
        let t = Instant::now();
        println!("{:?} {:?}", PldAccountant::default().epsilon_bracket(&e, 1e-6), t.elapsed());
    }
    for h in [1e-4, 1e-5, 1e-6, 3e-7] {
        let e = DpEvent::gaussian(1.0).poisson_sampled(1e-4).repeated(100000);
        println!("{h} {:?}", PldAccountant::new(h).unwrap().epsilon_bracket(&e, 1e-6));
    }
    for (eps, a) in [(2.0, 1e-6), (8.0, 1e-6), (32.0, 1e-6)] {
        let f = |s| DpEvent::gaussian(s).poisson_sampled(1024.0 / 41000.0).repeated(1200);
        let c = Instant::now();
        let n = calibrate::noise_multiplier(&PldAccountant::default(), &f, eps, a);
        println!(
            "cal {n:?} {:?} rdp {:?}",
            c.elapsed(),
            calibrate::noise_multiplier(&RdpAccountant::default(), &f, eps, a)
        );
    }
    for t in [1_000_000u64, 1_000_000_000, 1_000_000_000_000, u64::MAX] {
        let e = DpEvent::gaussian(1.0).poisson_sampled(0.01).repeated(t);
        let s = Instant::now();
        println!(
            "{t} {:?} {:?} rdp {:?}",
            PldAccountant::default().epsilon_bracket(&e, 1e-6),
            s.elapsed(),
            RdpAccountant::default().epsilon(&e, 1e-6)
        );
    }
    for (s, q, t) in [
        (0.3, 0.01, 1000),
        (0.3, 1e-4, 100000),
        (0.05, 0.1, 10),
        (50.0, 1e-4, 1),
        (50.0, 0.5, 100000),
        (1.0, 1e-4, 100000),
        (0.5, 0.3, 1),
        (1.0, 0.999, 10),
        (0.3, 0.001, 1),
    ] {
        let e = DpEvent::gaussian(s).poisson_sampled(q).repeated(t);
        let c = Instant::now();
        println!(
            "{s} {q} {t} {:?} {:?} rdp {:?}",
            PldAccountant::default().epsilon_bracket(&e, 1e-6),
            c.elapsed(),
            RdpAccountant::default().epsilon(&e, 1e-6)
        );
    }
}
