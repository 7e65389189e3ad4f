//go:build cgo

package tflite

/*
#include <stdint.h>
#include <tensorflow/lite/c/c_api.h>

// The header of the XNNPACK delegate is not shipped with the library, which
// exports it. This is its option block in TensorFlow Lite 2.9.0.
typedef struct {
  int32_t num_threads;
  uint32_t flags;
} cf_xnnpack_options;

extern cf_xnnpack_options TfLiteXNNPackDelegateOptionsDefault(void);
extern TfLiteDelegate* TfLiteXNNPackDelegateCreate(const cf_xnnpack_options* options);
extern void TfLiteXNNPackDelegateDelete(TfLiteDelegate* delegate);

static TfLiteDelegate* cf_xnnpack_create(void) {
  cf_xnnpack_options o = TfLiteXNNPackDelegateOptionsDefault();
  o.num_threads = 1;
  return TfLiteXNNPackDelegateCreate(&o);
}
*/
import "C"

import (
	"unsafe"

	"github.com/mattn/go-tflite/delegates"
)

// xnnpack is the XNNPACK delegate, one for each interpreter. The binding's own
// package for it does not build against this library.
type xnnpack struct{ p *C.TfLiteDelegate }

var _ delegates.Delegater = (*xnnpack)(nil)

func newXNNPACK() *xnnpack {
	p := C.cf_xnnpack_create()
	if p == nil {
		return nil
	}
	return &xnnpack{p}
}

// Ptr is for the binding.
func (x *xnnpack) Ptr() unsafe.Pointer { return unsafe.Pointer(x.p) }

// Delete frees the delegate, after its interpreter.
func (x *xnnpack) Delete() { C.TfLiteXNNPackDelegateDelete(x.p) }
