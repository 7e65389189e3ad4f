package wire

import (
	"math/rand/v2"
	"reflect"
)

var types = []Type{
	TypeHello, TypeWelcome, TypeEvents, TypeEventsAck, TypeFeed, TypeSnapshot, TypeApplied,
	TypeCredits, TypePing, TypePong, TypeError, TypeRevoke, TypeTelemetry, TypeCheckpoint,
}

// sample returns a message of a type with every field filled at random.
func sample(t Type, r *rand.Rand) Message {
	m := newMessage(t)
	fill(reflect.ValueOf(m).Elem(), r)
	return m
}

func fill(v reflect.Value, r *rand.Rand) {
	switch x := v.Addr().Interface().(type) {
	case *Op:
		*x = Op(r.IntN(int(OpAbsent) + 1))
		return
	case *Merge:
		*x = Merge(r.IntN(int(MergeRefused) + 1))
		return
	case *[]byte:
		if n := r.IntN(64); n > 0 {
			*x = make([]byte, n)
			for i := range *x {
				(*x)[i] = byte(r.Uint32())
			}
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), r)
		}
		if x, ok := v.Addr().Interface().(*Change); ok { // has a run or a record
			if run := x.Run; x.Op == OpLater {
				*x = Change{Op: OpLater, Run: run % maxRun}
			} else {
				x.Run = 0
			}
		}
	case reflect.Pointer:
		if r.IntN(2) == 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem(), r)
		}
	case reflect.Slice:
		if n := r.IntN(5); n > 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
		}
		for i := range v.Len() {
			fill(v.Index(i), r)
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), r)
		}
	case reflect.String:
		v.SetString("text " + string(rune('a'+r.IntN(26))))
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Uint8:
		v.SetUint(uint64(r.IntN(256)))
	case reflect.Uint64:
		v.SetUint(r.Uint64() >> r.IntN(64))
	case reflect.Int64:
		v.SetInt(int64(r.Uint64()) >> r.IntN(64))
	case reflect.Float64:
		v.SetFloat(r.NormFloat64())
	default:
		panic(v.Type())
	}
}

// body returns the bytes of a message before they are deflated.
func (c *coder) body(m Message) []byte {
	m.walk(c)
	return c.b
}
