#include <stddef.h>

/* What cf_turbo_* answer. */
enum { CF_OK = 0, CF_DOUBT = 1, CF_ABSENT = 2 };

/* Loads the library; 0 where it is not there. Call once. */
int cf_turbo_open(void);

/* Reads size, subsampling (TJSAMP) and colour space (TJCS) from the header. */
int cf_turbo_header(const unsigned char *jpeg, size_t size, int *width, int *height,
                    int *subsampling, int *space);

/* Decodes into planes of which the caller made the sizes right; cb and cr are
 * NULL for a grey image. CF_DOUBT covers warnings too. */
int cf_turbo_planes(const unsigned char *jpeg, size_t size, int width, int height,
                    unsigned char *y, unsigned char *cb, unsigned char *cr,
                    int ystride, int cstride);
