//! The tensors of every safetensors blob, read once from its header.

use crate::db::{Error, Result, Tx};
use crate::domain::digest::Digest;
use crate::domain::repo::TensorEntry;
use crate::domain::safetensors::Header;
use crate::params;

/// Writes a header's table, where it is not there yet.
pub fn insert(tx: &mut Tx<'_>, digest: &Digest, header: &Header) -> Result<()> {
    let known = tx.find("select position from tensors where digest = $1 limit 1", params![digest.to_hex()])?;
    if known.is_some() {
        return Ok(());
    }
    // Tensors are in the order of their bytes and leave no holes: the first begins where the header ends.
    let data_start = header.tensors.first().map_or(0, |first| first.offset);
    for (position, tensor) in header.tensors.iter().enumerate() {
        let shape = serde_json::to_string(&tensor.shape).unwrap_or_default();
        tx.execute(
            "insert into tensors (digest, position, name, dtype, shape, offset_bytes, size_bytes) values ($1, $2, $3, $4, $5, $6, $7)",
            params![digest.to_hex(), position, &tensor.name, &tensor.dtype, shape, tensor.offset - data_start, tensor.size_bytes],
        )?;
    }
    Ok(())
}

/// The tensors of a blob in the order of its bytes, listed under the name of a file that holds it.
pub fn list(tx: &mut Tx<'_>, digest: &Digest, file: &str) -> Result<Vec<TensorEntry>> {
    let sql = "select name, dtype, shape, size_bytes from tensors where digest = $1 order by position";
    let rows = tx.all(sql, params![digest.to_hex()])?;
    rows.iter()
        .map(|row| {
            let shape = serde_json::from_str(&row.text("shape")?);
            Ok(TensorEntry {
                file: file.to_owned(),
                name: row.text("name")?,
                dtype: row.text("dtype")?,
                shape: shape.map_err(|e| Error::Column { column: "shape".into(), problem: e.to_string() })?,
                size_bytes: row.count("size_bytes")?,
            })
        })
        .collect()
}
