// cf_dot writes to out the products of n rows with probe; each has dim floats,
// dim a multiple of 16, rows and probe aligned to 64 bytes.
void cf_dot(float *out, const float *rows, const float *probe, int n, int dim);

// cf_sum adds up n floats, n a multiple of 16, aligned to 64 bytes.
float cf_sum(const float *v, long n);
