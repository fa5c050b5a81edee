//! tmp
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let dir = std::path::PathBuf::from(std::env::args().nth(1).unwrap());
    let t = std::time::Instant::now();
    let image = arame_cli::up::image::Builder { cache: dir.join("cache"), images: dir.join("images") }.ensure().await?;
    println!("{image:?} {:?}", t.elapsed());
    Ok(())
}
