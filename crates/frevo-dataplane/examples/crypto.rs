//! The speed of AES-GCM and AES-GMAC with each library, in GB/s: `cargo run --release --example crypto`.
//!
//! `Provider::fastest` and the choice for GMAC are based on this table; run it on new kinds of processors.

use std::time::Instant;

use frevo_dataplane::crypto::{Gcm, Provider};

const ROUNDS: usize = 5;
const BYTES_PER_ROUND: usize = 1 << 27;

/// GB/s of the best round.
fn best(size: usize, mut work: impl FnMut()) -> f64 {
    let count = BYTES_PER_ROUND / size;
    let round = |_| {
        let start = Instant::now();
        (0..count).for_each(|_| work());
        (count * size) as f64 / start.elapsed().as_secs_f64() / 1e9
    };
    (0..ROUNDS).map(round).fold(0.0, f64::max)
}

fn main() {
    println!("fastest here: {:?}", Provider::fastest());
    println!(
        "{:8} {:>5} {:>9} {:>7} {:>12} {:>7}",
        "library", "bits", "bytes", "encrypt", "copy + open", "GMAC"
    );
    for size in [64 << 10, 256 << 10, 2 << 20] {
        for (bits, provider) in
            [128, 256].into_iter().flat_map(|b| [(b, Provider::AwsLc), (b, Provider::Ring)])
        {
            let key = Gcm::new(provider, bits, &vec![7; bits / 8]).expect("the key has the right length");
            let (nonce, aad) = ([1; 12], [2; 32]);
            let mut data = vec![5u8; size];
            let encrypt = best(size, || assert!(key.encrypt(&nonce, &aad, &mut data).is_some()));
            let tag = key.encrypt(&nonce, &aad, &mut data).expect("the nonce has the right length");
            let encrypted = data.clone();
            let open = best(size, || {
                data.copy_from_slice(&encrypted);
                assert!(key.open(&nonce, &aad, &tag, &mut data));
            });
            let gmac = best(size, || assert!(key.encrypt(&nonce, &data, &mut []).is_some()));
            println!("{provider:8?} {bits:5} {size:9} {encrypt:7.2} {open:12.2} {gmac:7.2}");
        }
    }
}
