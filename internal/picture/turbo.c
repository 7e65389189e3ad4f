/* libjpeg-turbo without its headers: five functions of the TurboJPEG API 2.0,
 * found at run time so that a program works where the library is missing. */
#include "turbo.h"

#include <dlfcn.h>

typedef void *handle;

static struct {
  handle (*init)(void);
  int (*destroy)(handle);
  int (*header)(handle, const unsigned char *, unsigned long, int *, int *, int *, int *);
  int (*planes)(handle, const unsigned char *, unsigned long, unsigned char **, int, int *, int, int);
} tj;

int cf_turbo_open(void) {
  void *lib = dlopen("libturbojpeg.so.0", RTLD_NOW | RTLD_LOCAL);
  if (!lib) return 0;
  tj.init = (handle(*)(void))dlsym(lib, "tjInitDecompress");
  tj.destroy = (int (*)(handle))dlsym(lib, "tjDestroy");
  tj.header = (int (*)(handle, const unsigned char *, unsigned long, int *, int *, int *, int *))
      dlsym(lib, "tjDecompressHeader3");
  tj.planes = (int (*)(handle, const unsigned char *, unsigned long, unsigned char **, int, int *, int, int))
      dlsym(lib, "tjDecompressToYUVPlanes");
  return tj.init && tj.destroy && tj.header && tj.planes;
}

int cf_turbo_header(const unsigned char *jpeg, size_t size, int *width, int *height,
                    int *subsampling, int *space) {
  handle h = tj.init();
  if (!h) return CF_DOUBT;
  int failed = tj.header(h, jpeg, size, width, height, subsampling, space);
  tj.destroy(h);
  return failed ? CF_DOUBT : CF_OK;
}

int cf_turbo_planes(const unsigned char *jpeg, size_t size, int width, int height,
                    unsigned char *y, unsigned char *cb, unsigned char *cr,
                    int ystride, int cstride) {
  handle h = tj.init();
  if (!h) return CF_DOUBT;
  unsigned char *planes[3] = {y, cb, cr};
  int strides[3] = {ystride, cstride, cstride};
  /* A warning (data cut short, corrupt coding) also answers other than 0. */
  int failed = tj.planes(h, jpeg, size, planes, width, strides, height, 0);
  tj.destroy(h);
  return failed ? CF_DOUBT : CF_OK;
}
