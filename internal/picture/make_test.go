package picture_test

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
	"math"
	"math/bits"
)

// jpegFile says what JPEG to make. Its encoder knows what the standard
// library's does not write: other subsamplings, four components, progressive
// passes, EXIF. It quantises by 1 and is as slow as the definition of the DCT.
type jpegFile struct {
	w, h        int
	sampling    [][2]int // of each component: horizontal, vertical
	progressive bool
	adobe       int // transform byte of an APP14 segment; −1 for none
	exif        []byte
	// at is the value, 0..255, of a component at the pixel (x, y).
	at func(c, x, y int) float64
}

func (f jpegFile) encode() []byte {
	var out bytes.Buffer
	out.Write([]byte{0xFF, 0xD8})
	segment := func(marker byte, body ...byte) {
		out.Write([]byte{0xFF, marker, byte((len(body) + 2) >> 8), byte(len(body) + 2)})
		out.Write(body)
	}
	if f.exif != nil {
		segment(0xE1, append([]byte("Exif\x00\x00"), f.exif...)...)
	}
	if f.adobe >= 0 {
		segment(0xEE, append([]byte("Adobe\x00\x64\x00\x00\x00\x00"), byte(f.adobe))...)
	}
	segment(0xDB, append([]byte{0}, bytes.Repeat([]byte{1}, 64)...)...)
	frame := []byte{8, byte(f.h >> 8), byte(f.h), byte(f.w >> 8), byte(f.w), byte(len(f.sampling))}
	for c, s := range f.sampling {
		frame = append(frame, byte(c+1), byte(s[0]<<4|s[1]), 0)
	}
	sof := byte(0xC0)
	if f.progressive {
		sof = 0xC2
	}
	segment(sof, frame...)
	// Two tables serve all components; every code has 8 bits.
	for class, known := range [][]byte{symbols[:12], symbols} {
		table := append([]byte{byte(class << 4)}, make([]byte, 16)...)
		table[8] = byte(len(known))
		segment(0xC4, append(table, known...)...)
	}
	scan := func(ss, se int, components ...int) {
		body := []byte{byte(len(components))}
		for _, c := range components {
			body = append(body, byte(c+1), 0)
		}
		segment(0xDA, append(body, byte(ss), byte(se), 0)...)
		f.scan(&out, ss, se, components)
	}
	all := make([]int, len(f.sampling))
	for c := range all {
		all[c] = c
	}
	if f.progressive {
		scan(0, 0, all...)
		for _, c := range all {
			scan(1, 63, c)
		}
	} else {
		scan(0, 63, all...)
	}
	out.Write([]byte{0xFF, 0xD9})
	return out.Bytes()
}

// symbols are all run/size symbols that an 8-bit image needs, coded by their
// place in this list. The first twelve are the sizes of DC differences.
var symbols = func() (all []byte) {
	for run := range byte(16) {
		for size := range byte(12) {
			if size > 0 || run == 0 || run == 15 {
				all = append(all, run<<4|size)
			}
		}
	}
	return all
}()

// scan writes the coded data of one pass: the coefficients ss to se.
func (f jpegFile) scan(out *bytes.Buffer, ss, se int, components []int) {
	maxH, maxV := 1, 1
	for _, s := range f.sampling {
		maxH, maxV = max(maxH, s[0]), max(maxV, s[1])
	}
	up := func(a, b int) int { return (a + b - 1) / b }
	var w bitWriter
	dc := make([]int, len(f.sampling))
	block := func(c, bx, by int) {
		s := f.sampling[c]
		coefs := f.dct(c, bx, by, maxH/s[0], maxV/s[1])
		if ss == 0 {
			diff := coefs[0] - dc[c]
			dc[c] = coefs[0]
			w.value(0, diff)
		}
		run := byte(0)
		for k := max(ss, 1); k <= se; k++ {
			switch v := coefs[k]; {
			case v == 0:
				run++
			default:
				for ; run > 15; run -= 16 {
					w.symbol(0xF0)
				}
				w.value(run, v)
				run = 0
			}
		}
		if run > 0 {
			w.symbol(0)
		}
	}
	if len(components) == 1 {
		s := f.sampling[components[0]]
		for by := range up(f.h*s[1], 8*maxV) {
			for bx := range up(f.w*s[0], 8*maxH) {
				block(components[0], bx, by)
			}
		}
	} else {
		for my := range up(f.h, 8*maxV) {
			for mx := range up(f.w, 8*maxH) {
				for _, c := range components {
					s := f.sampling[c]
					for v := range s[1] {
						for u := range s[0] {
							block(c, mx*s[0]+u, my*s[1]+v)
						}
					}
				}
			}
		}
	}
	w.flush()
	out.Write(bytes.ReplaceAll(w.out, []byte{0xFF}, []byte{0xFF, 0}))
}

// dct returns the coefficients of a block in zigzag order. A pixel of the block
// is sx×sy pixels of the picture.
func (f jpegFile) dct(c, bx, by, sx, sy int) (out [64]int) {
	var px [64]float64
	for i := range px {
		x := min((bx*8+i%8)*sx, f.w-1)
		y := min((by*8+i/8)*sy, f.h-1)
		px[i] = f.at(c, x, y) - 128
	}
	for k, at := range zigzag {
		u, v := float64(at%8), float64(at/8)
		sum := 0.0
		for i, p := range px {
			sum += p * math.Cos((2*float64(i%8)+1)*u*math.Pi/16) * math.Cos((2*float64(i/8)+1)*v*math.Pi/16)
		}
		if u == 0 {
			sum *= math.Sqrt2 / 2
		}
		if v == 0 {
			sum *= math.Sqrt2 / 2
		}
		out[k] = int(math.Round(sum / 4))
	}
	return out
}

// zigzag walks an 8×8 block along its anti-diagonals.
var zigzag = func() (z [64]int) {
	k := 0
	for sum := range 15 {
		for i := range sum + 1 {
			x, y := i, sum-i // upwards
			if sum%2 == 1 {
				x, y = y, x
			}
			if x < 8 && y < 8 {
				z[k] = y*8 + x
				k++
			}
		}
	}
	return z
}()

// bitWriter packs codes, most significant bit first.
type bitWriter struct {
	out  []byte
	bits uint32
	n    int
}

func (w *bitWriter) put(v uint32, n int) {
	for n--; n >= 0; n-- {
		w.bits = w.bits<<1 | v>>n&1
		if w.n++; w.n == 8 {
			w.out = append(w.out, byte(w.bits))
			w.n = 0
		}
	}
}

func (w *bitWriter) symbol(s byte) { w.put(uint32(bytes.IndexByte(symbols, s)), 8) }

// value writes a run of zeros and a coefficient.
func (w *bitWriter) value(run byte, v int) {
	size := bits.Len(uint(max(v, -v)))
	w.symbol(run<<4 | byte(size))
	if v < 0 {
		v += 1<<size - 1
	}
	w.put(uint32(v), size)
}

func (w *bitWriter) flush() {
	for w.n != 0 {
		w.put(1, 1)
	}
}

// exif is a TIFF structure with an orientation.
func exif(order binary.AppendByteOrder, orientation uint16) []byte {
	b := []byte("MM\x00*")
	if order == binary.AppendByteOrder(binary.LittleEndian) {
		b = []byte("II*\x00")
	}
	b = order.AppendUint32(b, 8)
	b = order.AppendUint16(b, 2)
	for _, tag := range [][2]uint16{{0x0100, 7}, {0x0112, orientation}} {
		b = order.AppendUint16(b, tag[0])
		b = order.AppendUint16(b, 3)
		b = order.AppendUint32(b, 1)
		b = order.AppendUint16(b, tag[1])
		b = order.AppendUint16(b, 0)
	}
	return order.AppendUint32(b, 0)
}

// pngChunk frames a chunk with its checksum.
func pngChunk(kind string, body []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	b = append(append(b, kind...), body...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

// pngFile is a grey or other PNG around raw scan lines.
func pngFile(w, h int, depth, kind, interlace byte, lines []byte) []byte {
	head := binary.BigEndian.AppendUint32(nil, uint32(w))
	head = binary.BigEndian.AppendUint32(head, uint32(h))
	head = append(head, depth, kind, 0, 0, interlace)
	var z bytes.Buffer
	zw := zlib.NewWriter(&z)
	zw.Write(lines)
	zw.Close()
	out := append([]byte("\x89PNG\r\n\x1a\n"), pngChunk("IHDR", head)...)
	out = append(out, pngChunk("IDAT", z.Bytes())...)
	return append(out, pngChunk("IEND", nil)...)
}

// adam7 lays grey pixels out in the seven passes of an interlaced PNG.
func adam7(w, h int, at func(x, y int) byte) (lines []byte) {
	for _, p := range [7][4]int{{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}} {
		for y := p[1]; y < h; y += p[3] {
			if p[0] >= w {
				continue
			}
			lines = append(lines, 0)
			for x := p[0]; x < w; x += p[2] {
				lines = append(lines, at(x, y))
			}
		}
	}
	return lines
}
