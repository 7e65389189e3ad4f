// libjpeg-turbo's TurboJPEG API, opened when the program runs: a box without
// the library decodes with Go's own decoder instead of not starting.
typedef void *cf_turbo;

int cf_turbo_load(void); // 1 when the library is there
cf_turbo cf_turbo_open(void);
int cf_turbo_header(cf_turbo d, const unsigned char *jpeg, unsigned long size,
                    int *w, int *h, int *sampling, int *space);
int cf_turbo_planes(cf_turbo d, const unsigned char *jpeg, unsigned long size,
                    unsigned char *y, unsigned char *cb, unsigned char *cr,
                    int ystride, int cstride);
int cf_turbo_width(int plane, int w, int sampling);
int cf_turbo_height(int plane, int h, int sampling);
