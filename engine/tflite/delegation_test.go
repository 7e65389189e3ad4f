//go:build cgo

package tflite

import (
	"os"
	"testing"

	"github.com/cypherface/edge/models"
	"github.com/mattn/go-tflite"
)

// TestXNNPACKTakesEveryOperator loads each network that was converted here into a library whose own
// kernels are empty and fail when they run: an operator that the delegate
// leaves to them cannot go unnoticed.
func TestXNNPACKTakesEveryOperator(t *testing.T) {
	packs, err := models.Installed("../../.deps/packs")
	if err != nil || len(packs) == 0 {
		t.Fatalf("no pack in .deps/packs (make setup installs them): %v", err)
	}
	for _, p := range packs {
		for role, n := range p.Networks {
			if n.Conversion == models.ConversionNone {
				continue // as its makers published it, joining two outputs at the end by a copy
			}
			t.Run(p.Name+"/"+string(role), func(t *testing.T) {
				f, err := p.File(role)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				if status := invokeWithoutKernels(t, f, false); status == tflite.OK {
					t.Fatal("the network runs without kernels and without the delegate: this test proves nothing")
				}
				if status := invokeWithoutKernels(t, f, true); status != tflite.OK {
					t.Error("XNNPACK leaves operators to the library's own kernels")
				}
			})
		}
	}
}

func invokeWithoutKernels(t *testing.T, f *os.File, delegate bool) (status tflite.Status) {
	t.Helper()
	m := tflite.NewModelFromFile(descriptor(f))
	if m == nil {
		t.Fatal("load network: refused")
	}
	defer m.Delete()
	opt := tflite.NewInterpreterOptions()
	defer opt.Delete()
	const mostVersions = 9
	for op := tflite.BuiltinOperator_MIN; op <= tflite.BuiltinOperator_MAX; op++ {
		if op != tflite.BuiltinOperator_CUSTOM && op != tflite.BuiltinOperator_DELEGATE {
			opt.ExpAddBuiltinOp(op, &tflite.ExpRegistration{}, 1, mostVersions)
		}
	}
	if delegate {
		x := newXNNPACK()
		defer x.Delete()
		opt.AddDelegate(x)
	}
	quietly(func() {
		it := tflite.NewInterpreter(m, opt)
		if it == nil {
			t.Fatal("create interpreter: refused")
		}
		defer it.Delete()
		if status = it.AllocateTensors(); status == tflite.OK {
			status = it.Invoke()
		}
	})
	return status
}
