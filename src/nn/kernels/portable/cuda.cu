// The few kernels that candle's ops are too slow for; compiled by the driver's compiler when a network first needs them.

typedef unsigned int u32;
typedef unsigned long long u64;

// y[b, p, c] = sum over taps of x[b, table[p, tap], c] * weights[tap, c]; the largest position is nowhere.
extern "C" __global__ void weigh(const float *x, const u32 *table, const float *weights, float *y, u32 from, u32 to, u32 taps, u32 channels,
                                 u32 total) {
    u32 i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= total) return;
    u32 row = i / channels, c = i - row * channels, image = row / to, p = row - image * to;
    const float *pixels = x + (u64)image * from * channels + c;
    float sum = 0.0f;
    for (u32 tap = 0; tap < taps; tap++) {
        u32 at = table[p * taps + tap];
        if (at != 0xffffffffu) sum += pixels[(u64)at * channels] * weights[tap * channels + c];
    }
    y[i] = sum;
}

// sums[piece, tap, c] = sum over the rows (b, p) of a piece of x[b, table[p, tap], c] * dy[b, p, c].
extern "C" __global__ void correlate(const float *x, const u32 *table, const float *dy, float *sums, u32 from, u32 to, u32 taps, u32 channels,
                                     u32 rows, u32 per_piece) {
    u32 i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= taps * channels) return;
    u32 tap = i / channels, c = i - tap * channels;
    u32 first = blockIdx.y * per_piece, end = min(rows, first + per_piece);
    float sum = 0.0f;
    for (u32 row = first; row < end; row++) {
        u32 image = row / to, p = row - image * to, at = table[p * taps + tap];
        if (at != 0xffffffffu) sum += x[((u64)image * from + at) * channels + c] * dy[(u64)row * channels + c];
    }
    sums[blockIdx.y * taps * channels + i] = sum;
}

// z = x * a[c] + y * b[c] + d[c], where factors hold a, b and d one after the other.
extern "C" __global__ void blend(const float *x, const float *y, const float *factors, float *z, u32 channels, u32 total) {
    u32 i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= total) return;
    u32 c = i % channels;
    z[i] = x[i] * factors[c] + y[i] * factors[channels + c] + factors[2 * channels + c];
}

// sums[piece, c] = sum over the rows of a piece of x[row, c], or of x[row, c] * y[row, c] where there is a y.
extern "C" __global__ void columns(const float *x, const float *y, float *sums, u32 channels, u32 rows, u32 per_piece, u32 total,
                                   u32 has_factor) {
    u32 i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= total) return;
    u32 piece = i / channels, c = i - piece * channels, first = piece * per_piece, end = min(rows, first + per_piece);
    float sum = 0.0f;
    for (u32 row = first; row < end; row++) {
        u64 at = (u64)row * channels + c;
        sum += has_factor ? x[at] * y[at] : x[at];
    }
    sums[i] = sum;
}

// y[b, p, tap] = x[b, table[p, tap]], a vector of so many fours of channels each; the largest position is nowhere.
extern "C" __global__ void gather4(const float4 *x, const u32 *table, float4 *y, u32 from, u32 to_taps, u32 fours, u32 total) {
    u32 i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= total) return;
    u32 row = i / fours, c = i - row * fours, image = row / to_taps, at = table[row - image * to_taps];
    y[i] = at == 0xffffffffu ? make_float4(0.0f, 0.0f, 0.0f, 0.0f) : x[((u64)image * from + at) * fours + c];
}
