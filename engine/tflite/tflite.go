// Package tflite runs networks with TensorFlow Lite and the XNNPACK delegate.
//
//	e, networks, err := tflite.OpenEngine(pack, tflite.Options{})
//	defer networks.Close()
//
// OpenEngine opens the networks of a pack as an engine; Load opens one network.
// A network is a pool of single-threaded interpreters, one for each core: two
// threads in one interpreter are never twice as fast and wait for each other
// under load.
//
// The binding underneath (mattn/go-tflite) leaks a model that is loaded from
// memory, leaks error reporters, reads past short slices and crashes on a nil
// model. Nothing of it leaves this package: models are loaded by the name of a
// descriptor whose bytes were hashed (models.Pack.File), and tensors are lent
// as slices of their true length.
//
// A damaged network can crash the process that loads it, and no recover helps.
// [Probe] tries an unknown pack in a process of its own first.
//
// Without cgo the package builds, and loading fails with [ErrNoRuntime].
package tflite

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/models"
)

// runtimeName is the runtime a probe vouches for.
const runtimeName = "tensorflow-lite-2.9.0"

// ErrNoRuntime: this program was built without the TensorFlow Lite library.
var ErrNoRuntime = errors.New("built without TensorFlow Lite (CGO_ENABLED=0)")

// errClosed: the network was closed while somebody wanted to use it.
var errClosed = errors.New("the network is closed")

// Options of loading. The zero value is right for a box.
type Options struct {
	// Interpreters is how many inferences of one network may run at once; 0
	// means one for each core.
	Interpreters int
	// NoDelegate leaves XNNPACK out: several times slower, and for tests only.
	NoDelegate bool
	// Wrap, if set, is put between each network and the engine; benchmarks
	// measure with it.
	Wrap func(models.Role, engine.Model) engine.Model
	// Beside, if set, is the pack models.PAD: the engine looks for attacks with it.
	Beside *models.Pack
	// Adjust, if set, may change what the engine is made of.
	Adjust func(*engine.Config)
}

// networks closes several models.
type networks []io.Closer

// Close frees the networks after the inferences that run; later ones fail.
func (n networks) Close() error {
	var errs []error
	for _, m := range n {
		errs = append(errs, m.Close())
	}
	return errors.Join(errs...)
}

// OpenEngine loads every network of a pack, each checked against its hash, and
// makes an engine of them. Close the networks when the engine is not used any
// more. A pack that this program does not know is to be probed first
// ([ProbeOnce]).
func OpenEngine(pack *models.Pack, opt Options) (*engine.Engine, io.Closer, error) {
	if pack.Name == models.PAD {
		return nil, nil, fmt.Errorf("open pack %s: it recognises nobody, and stands beside another pack", pack.Name)
	}
	var open networks
	network := func(pack *models.Pack, role models.Role) (engine.Network, error) {
		n, ok := pack.Networks[role]
		if !ok {
			return engine.Network{}, nil
		}
		f, err := pack.File(role)
		if err != nil {
			return engine.Network{}, err
		}
		defer f.Close() // the model maps it
		m, err := Load(f, opt)
		if err != nil {
			return engine.Network{}, fmt.Errorf("load %s of pack %s: %w", role, pack.Name, err)
		}
		open = append(open, m)
		out := engine.Network{Model: m, Prep: engine.Prep{
			BGR: n.Input.Order == "bgr", Scale: float32(n.Input.Scale), Bias: float32(n.Input.Bias),
		}}
		if opt.Wrap != nil {
			out.Model = opt.Wrap(role, m)
		}
		return out, nil
	}
	e, err := assemble(pack, network, opt)
	if err != nil {
		open.Close()
		return nil, nil, err
	}
	return e, open, nil
}

func assemble(pack *models.Pack, network func(*models.Pack, models.Role) (engine.Network, error), opt Options) (*engine.Engine, error) {
	cfg := engine.Config{Space: pack.Space}
	for _, part := range []struct {
		role models.Role
		into *engine.Network
	}{
		{models.DetectFull, &cfg.FullRange},
		{models.DetectShort, &cfg.ShortRange},
		{models.Landmarks, &cfg.Landmarks},
		{models.Embed, &cfg.Embedder},
	} {
		n, err := network(pack, part.role)
		if err != nil {
			return nil, err
		}
		*part.into = n
	}
	if opt.Beside != nil {
		for _, role := range opt.Beside.Roles() {
			n, err := network(opt.Beside, role)
			if err != nil {
				return nil, err
			}
			cfg.Patches = append(cfg.Patches, engine.Patch{Network: n, Scale: opt.Beside.Networks[role].Crop})
		}
	}
	if t := pack.Networks[models.Embed].Template; t != nil {
		for i, p := range t {
			cfg.Template[i] = engine.Point{X: p[0], Y: p[1]}
		}
	}
	if opt.Adjust != nil {
		opt.Adjust(&cfg)
	}
	e, err := engine.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("pack %s: %w", pack.Name, err)
	}
	return e, nil
}

// descriptor is the name under which the runtime opens exactly this file.
func descriptor(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }
