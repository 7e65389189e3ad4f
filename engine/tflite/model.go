//go:build cgo

package tflite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"unsafe"

	"github.com/cypherface/edge/engine"
	"github.com/mattn/go-tflite"
)

// Model is a network: a pool of interpreters over one mapping of its weights.
// It is safe for concurrent use.
type Model struct {
	model  *tflite.Model
	opt    Options
	input  []int
	output [][]int

	slots  chan struct{} // one for each inference that may run at once
	closed chan struct{}
	once   sync.Once

	mu   sync.Mutex
	idle []*interpreter // the one used last is used next: memory follows need
}

var _ engine.Model = (*Model)(nil)

// Load opens the network in f, which may be closed afterwards. Its bytes must
// be trusted: hashed, or tried in a process of its own.
func Load(f *os.File, opt Options) (*Model, error) {
	n := opt.Interpreters
	if n <= 0 {
		n = runtime.GOMAXPROCS(0)
	}
	m := &Model{opt: opt, slots: make(chan struct{}, n), closed: make(chan struct{})}
	said := quietly(func() { m.model = tflite.NewModelFromFile(descriptor(f)) })
	runtime.KeepAlive(f)
	if m.model == nil {
		return nil, because(errors.New("not a TensorFlow Lite model"), said)
	}
	first, err := m.interpreter()
	if err != nil {
		m.model.Delete()
		return nil, err
	}
	m.input, m.output = first.shapes()
	m.idle = []*interpreter{first}
	for range n {
		m.slots <- struct{}{}
	}
	return m, nil
}

// Input is the shape of the input tensor.
func (m *Model) Input() []int { return m.input }

// Outputs are the shapes of the output tensors.
func (m *Model) Outputs() [][]int { return m.output }

// Run implements engine.Model.
func (m *Model) Run(ctx context.Context, fill func(in []float32), read func(out [][]float32)) error {
	select {
	case <-m.closed:
		return errClosed
	default:
	}
	select {
	case <-m.closed:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	case <-m.slots:
	}
	defer func() { m.slots <- struct{}{} }()
	i, err := m.take()
	if err != nil {
		return err
	}
	defer m.put(i)
	fill(i.in)
	if status := i.it.Invoke(); status != tflite.OK {
		return fmt.Errorf("invoke network: %w: TensorFlow Lite answers %v", engine.ErrNetwork, status)
	}
	read(i.out)
	return nil
}

// take returns an interpreter that nobody uses, a new one where there is none.
func (m *Model) take() (*interpreter, error) {
	m.mu.Lock()
	if n := len(m.idle); n > 0 {
		i := m.idle[n-1]
		m.idle = m.idle[:n-1]
		m.mu.Unlock()
		return i, nil
	}
	m.mu.Unlock()
	return m.interpreter()
}

func (m *Model) put(i *interpreter) {
	m.mu.Lock()
	m.idle = append(m.idle, i)
	m.mu.Unlock()
}

// Close waits for the inferences that run and frees everything. Closing twice
// does nothing.
func (m *Model) Close() error {
	m.once.Do(func() {
		close(m.closed)
		for range cap(m.slots) {
			<-m.slots
		}
		for _, i := range m.idle {
			i.delete()
		}
		m.model.Delete()
	})
	return nil
}

// interpreter is one TFLite interpreter and its tensors, which stay where they
// are once allocated.
type interpreter struct {
	it       *tflite.Interpreter
	opt      *tflite.InterpreterOptions
	delegate *xnnpack // nil without
	in       []float32
	out      [][]float32
}

func (m *Model) interpreter() (*interpreter, error) {
	i := &interpreter{}
	var err error
	said := quietly(func() { err = i.open(m) })
	if err == nil {
		err = i.bind()
	}
	if err != nil {
		i.delete()
		return nil, because(err, said)
	}
	return i, nil
}

// open makes the interpreter; what it made before an error is still to be
// deleted.
func (i *interpreter) open(m *Model) error {
	if i.opt = tflite.NewInterpreterOptions(); i.opt == nil {
		return errors.New("create interpreter options: out of memory")
	}
	i.opt.SetNumThread(1)
	if !m.opt.NoDelegate {
		if i.delegate = newXNNPACK(); i.delegate == nil {
			return errors.New("create XNNPACK delegate: the library refuses")
		}
		i.opt.AddDelegate(i.delegate)
	}
	if i.it = tflite.NewInterpreter(m.model, i.opt); i.it == nil {
		return errors.New("create interpreter: operators that the library does not have, or a damaged network")
	}
	if status := i.it.AllocateTensors(); status != tflite.OK {
		return fmt.Errorf("allocate tensors: TensorFlow Lite answers %v", status)
	}
	return nil
}

// because adds the library's own words to an error.
func because(err error, said string) error {
	if said = reasons(said); said != "" {
		return fmt.Errorf("%w (%s)", err, said)
	}
	return err
}

// bind finds the tensors and checks that each is float32 and as long as its
// shape says.
func (i *interpreter) bind() error {
	if n := i.it.GetInputTensorCount(); n != 1 {
		return fmt.Errorf("network with %d inputs, want 1", n)
	}
	var err error
	if i.in, err = floats(i.it.GetInputTensor(0)); err != nil {
		return fmt.Errorf("input: %w", err)
	}
	n := i.it.GetOutputTensorCount()
	if n < 1 || n > 16 {
		return fmt.Errorf("network with %d outputs", n)
	}
	for k := range n {
		out, err := floats(i.it.GetOutputTensor(k))
		if err != nil {
			return fmt.Errorf("output %d: %w", k, err)
		}
		i.out = append(i.out, out)
	}
	return nil
}

func (i *interpreter) shapes() (in []int, out [][]int) {
	for k := range i.out {
		out = append(out, i.it.GetOutputTensor(k).Shape())
	}
	return i.it.GetInputTensor(0).Shape(), out
}

// floats is the memory of a tensor.
func floats(t *tflite.Tensor) ([]float32, error) {
	if t == nil {
		return nil, errors.New("no such tensor")
	}
	if t.Type() != tflite.Float32 {
		return nil, fmt.Errorf("tensor of type %v, want float32", t.Type())
	}
	n := 1
	for _, d := range t.Shape() {
		if d < 1 || n > 1<<28/d {
			return nil, fmt.Errorf("tensor of shape %v", t.Shape())
		}
		n *= d
	}
	p := t.Data()
	if p == nil || uint(t.ByteSize()) != uint(4*n) {
		return nil, fmt.Errorf("tensor of shape %v has %d bytes", t.Shape(), t.ByteSize())
	}
	return unsafe.Slice((*float32)(p), n), nil
}

// delete frees what was made; the interpreter goes before what it refers to.
func (i *interpreter) delete() {
	if i.it != nil {
		i.it.Delete()
	}
	if i.opt != nil {
		i.opt.Delete()
	}
	if i.delegate != nil {
		i.delegate.Delete()
	}
	*i = interpreter{}
}
