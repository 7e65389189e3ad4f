package models

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
)

// Role is the job of a network in a pack.
type Role string

// The jobs of a pack. Every pack has DetectFull, DetectShort and Embed.
const (
	DetectFull  Role = "detect_full"  // faces in a frame
	DetectShort Role = "detect_short" // close-ups, where DetectFull finds nothing
	Landmarks   Role = "landmarks"    // five points on an upright crop; optional
	Embed       Role = "embed"        // aligned crop to template
)

// The jobs of the pack [PAD], which has no other.
const (
	PADClose Role = "pad_close" // a face and a little around it: life or an attack
	PADWide  Role = "pad_wide"  // … and more of what is around it
)

// PAD is the name of the pack that stands beside any other: networks against
// presentation attacks (ISO/IEC 30107), one more vote on liveness. It recognises
// nobody, so it has neither a space nor a calibration, and no template changes with it.
const PAD = "pad"

// required are the roles without which a pack is no pack.
var required = []Role{DetectFull, DetectShort, Embed}

// Bounds on what a manifest may ask for: it is read before anything in it is
// trusted, perhaps from somebody's USB stick.
const (
	maxManifest = 1 << 20   // bytes of manifest.json
	maxNetwork  = 256 << 20 // bytes of one network
	maxSource   = 512 << 20 // bytes of one original file
	maxDim      = 1 << 20   // one dimension of a tensor
	maxPoints   = 4096      // points of a calibration
)

// Manifest describes a pack: which networks it holds, where they come from,
// how their input is prepared, what their answers look like on known input,
// and, but for [PAD], what error rates its scores stand for.
type Manifest struct {
	Name    string `json:"name"`    // also the folder's name: lower case, digits, dashes
	Version int    `json:"version"` // counts up with every change of this file but the calibration
	Summary string `json:"summary"` // one line for people
	// Space names the set of templates that may be compared with each other.
	// It is derived, see [Manifest.DeriveSpace], and checked on reading.
	Space string `json:"space,omitempty"`
	// Preprocessing counts the ways in which the engine has prepared crops;
	// a new number is a new space.
	Preprocessing int              `json:"preprocessing,omitempty"`
	Networks      map[Role]Network `json:"networks"`
	Golden        Golden           `json:"golden,omitzero"`
	Calibration   Calibration      `json:"calibration,omitzero"`
}

// Network is one TFLite file of a pack.
type Network struct {
	File       string   `json:"file"` // in the pack's folder, without a path
	SHA256     string   `json:"sha256"`
	Size       int64    `json:"size"` // bytes
	Licence    string   `json:"licence"`
	Origin     string   `json:"origin"`     // who made it, where it is published
	Conversion string   `json:"conversion"` // one of the Conversion constants
	Sources    []Source `json:"sources"`    // the files it is made from
	Input      Input    `json:"input"`
	Outputs    []Output `json:"outputs"` // in the file's order
	// Template is where an embedder wants the eyes, the nose tip and the
	// corners of the mouth (image left to right), as fractions of its input.
	Template *[5][2]float64 `json:"template,omitempty"`
	// Crop is how much of the picture a network of [PAD] looks at: sides of the
	// rectangle in those of the face's box.
	Crop float64 `json:"crop,omitempty"`
	// Golden are the outputs on [ProbeInput]: values evenly spaced over each
	// output, all outputs in a row.
	Golden []float64 `json:"golden,omitempty"`
}

// The ways from source files to a TFLite file.
const (
	ConversionNone     = "none"     // the source is the file
	ConversionOpenVINO = "openvino" // IR: .xml and .bin
	ConversionFaceAPI  = "face-api" // weights manifest (.json) and .bin
	ConversionNCNN     = "ncnn"     // .param and .bin
)

// Source is an original file of a network.
type Source struct {
	Name   string `json:"name"` // file name, without a path
	Size   int64  `json:"size"` // bytes
	SHA256 string `json:"sha256"`
	// SHA384 is set where the publisher states that hash: it is then compared
	// as well, and a pull says so. Without it the hash is only that of the
	// copy this manifest was written from.
	SHA384 string `json:"sha384,omitempty"`
	URL    string `json:"url,omitempty"` // where a pull finds it
	NPM    string `json:"npm,omitempty"` // its path below node_modules
}

// Input is the shape and preparation of a network's input: a pixel value v of
// 0..255 becomes v*Scale + Bias.
type Input struct {
	Shape [4]int  `json:"shape"` // 1, height, width, 3
	Order string  `json:"order"` // "rgb" or "bgr"
	Scale float64 `json:"scale"`
	Bias  float64 `json:"bias"`
}

// Output is one output tensor.
type Output struct {
	Name  string `json:"name"`
	Shape []int  `json:"shape"`
}

// Golden says what the whole chain answers on the rendered faces of
// [GoldenImages]: the self-test at start compares with it.
type Golden struct {
	Mates     float64 `json:"mates"`     // cosine of two images of one person
	Strangers float64 `json:"strangers"` // cosine of images of two people
	Tolerance float64 `json:"tolerance"` // how far either may be off
	// Template is that of the first image, as little-endian float32s. A pack
	// whose template is within a cosine of 0.9999 of it is in the same space.
	Template []byte `json:"template,omitempty"`
}

// Vector returns the golden template, nil where none is recorded.
func (g Golden) Vector() []float32 {
	v := make([]float32, 0, len(g.Template)/4)
	for b := g.Template; len(b) >= 4; b = b[4:] {
		v = append(v, math.Float32frombits(binary.LittleEndian.Uint32(b)))
	}
	return v
}

// SetVector records v as the golden template.
func (g *Golden) SetVector(v []float32) {
	g.Template = nil
	for _, x := range v {
		g.Template = binary.LittleEndian.AppendUint32(g.Template, math.Float32bits(x))
	}
}

// ParseManifest reads and checks a manifest. Unknown keys, paths in file
// names, sizes out of bounds and contradictions are errors.
func ParseManifest(b []byte) (*Manifest, error) {
	if len(b) > maxManifest {
		return nil, fmt.Errorf("parse manifest: %d bytes, at most %d are read", len(b), maxManifest)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	var m Manifest
	if err := dec.Decode(&m); err != nil {
		return nil, fmt.Errorf("parse manifest: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("parse manifest: something follows its end")
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("parse manifest: %w", err)
	}
	return &m, nil
}

// Encode writes the manifest as files hold it: indented, with short lists and
// points on one line each.
func (m *Manifest) Encode() ([]byte, error) {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	b = flat.ReplaceAllFunc(b, func(group []byte) []byte {
		line := strings.Join(strings.Fields(string(group)), " ")
		return []byte(tight.Replace(line))
	})
	return append(b, '\n'), nil
}

// flat matches the innermost lists of numbers and the points of a calibration.
var flat = regexp.MustCompile(`\[[-+.0-9e,\s]+\]|\{\s*"score"[^{}]*\}`)

// tight takes the blanks inside brackets away.
var tight = strings.NewReplacer("[ ", "[", " ]", "]", "{ ", "{", " }", "}")

// Roles lists the pack's roles in a fixed order.
func (m *Manifest) Roles() []Role { return slices.Sorted(maps.Keys(m.Networks)) }

// DeriveSpace computes the space's name from what templates depend on: the
// original weights of the embedder and of the points it is aligned by, the
// alignment, the input's preparation and the pre-processing version. The TFLite
// files are left out on purpose: a better conversion of the same weights stays
// in its space.
func (m *Manifest) DeriveSpace() string {
	if m.Name == PAD {
		return "" // it makes no templates
	}
	h := sha256.New()
	e := m.Networks[Embed]
	for _, r := range []Role{Landmarks, Embed} {
		for _, s := range m.Networks[r].Sources {
			fmt.Fprintf(h, "%s %s\n", r, s.SHA256)
		}
	}
	fmt.Fprintf(h, "%v %v %d", e.Input, e.Template, m.Preprocessing)
	if e.Template != nil {
		fmt.Fprintf(h, " %v", *e.Template)
	}
	return m.Name + "-" + hex.EncodeToString(h.Sum(nil)[:6])
}

func (m *Manifest) check() error {
	if !plainName(m.Name) || strings.ContainsAny(m.Name, "._") {
		return fmt.Errorf("name %q: lower-case letters, digits and dashes only, at most 64", m.Name)
	}
	if m.Version < 1 {
		return fmt.Errorf("version %d: counts from 1", m.Version)
	}
	need := required
	if m.Name == PAD {
		need = []Role{PADClose, PADWide}
	}
	for _, r := range need {
		if _, ok := m.Networks[r]; !ok {
			return fmt.Errorf("role %s is missing", r)
		}
	}
	files := map[string]bool{manifestFile: true}
	for _, r := range m.Roles() {
		n := m.Networks[r]
		if err := n.check(r); err != nil {
			return fmt.Errorf("role %s: %w", r, err)
		}
		if r.pad() != (m.Name == PAD) {
			return fmt.Errorf("role %s: networks against attacks are in the pack %s, and alone there", r, PAD)
		}
		if files[n.File] {
			return fmt.Errorf("role %s: file %q is used twice", r, n.File)
		}
		files[n.File] = true
	}
	if want := m.DeriveSpace(); m.Space != want {
		return fmt.Errorf("space %q: the weights, alignment and preparation stated give %q", m.Space, want)
	}
	if m.Name == PAD {
		return nil
	}
	if err := m.Golden.check(); err != nil {
		return fmt.Errorf("golden: %w", err)
	}
	if err := m.Calibration.check(); err != nil {
		return fmt.Errorf("calibration: %w", err)
	}
	return nil
}

// pad reports whether the role is one of the pack [PAD].
func (r Role) pad() bool { return r == PADClose || r == PADWide }

func (n Network) check(r Role) error {
	switch r {
	case DetectFull, DetectShort, Landmarks, Embed, PADClose, PADWide:
	default:
		return fmt.Errorf("unknown role")
	}
	if !plainName(n.File) || !strings.HasSuffix(n.File, ".tflite") {
		return fmt.Errorf("file %q: want a plain lower-case name ending in .tflite", n.File)
	}
	if err := checkDigest(n.File, n.SHA256, sha256.Size, n.Size, maxNetwork); err != nil {
		return err
	}
	switch n.Conversion {
	case ConversionNone, ConversionOpenVINO, ConversionFaceAPI, ConversionNCNN:
	default:
		return fmt.Errorf("conversion %q: unknown", n.Conversion)
	}
	if len(n.Sources) == 0 || len(n.Sources) > 16 {
		return fmt.Errorf("%d sources: want 1 to 16", len(n.Sources))
	}
	for _, s := range n.Sources {
		if err := s.check(); err != nil {
			return err
		}
	}
	if err := n.checkTensors(); err != nil {
		return err
	}
	if (r == Embed) != (n.Template != nil) {
		return fmt.Errorf("template: the embedder has one, no other network does")
	}
	if r.pad() != (n.Crop != 0) || r.pad() && !(n.Crop >= 1 && n.Crop <= 16) {
		return fmt.Errorf("crop %v: networks against attacks have one of 1 to 16, no other network does", n.Crop)
	}
	return nil
}

func (n Network) checkTensors() error {
	in := n.Input
	if in.Shape[0] != 1 || in.Shape[3] != 3 || in.Shape[1] < 1 || in.Shape[2] < 1 || in.Shape[1] > 4096 || in.Shape[2] > 4096 {
		return fmt.Errorf("input shape %v: want 1, height, width, 3", in.Shape)
	}
	if in.Order != "rgb" && in.Order != "bgr" {
		return fmt.Errorf("input order %q: want rgb or bgr", in.Order)
	}
	if in.Scale == 0 {
		return fmt.Errorf("input scale 0: every picture would look the same")
	}
	if len(n.Outputs) == 0 || len(n.Outputs) > 16 || len(n.Golden) > 4096 {
		return fmt.Errorf("%d outputs, %d golden values: too few or too many", len(n.Outputs), len(n.Golden))
	}
	for _, o := range n.Outputs {
		total := 1
		for _, d := range o.Shape {
			if d < 1 || d > maxDim || total > maxDim/d {
				return fmt.Errorf("output %q: shape %v out of bounds", o.Name, o.Shape)
			}
			total *= d
		}
	}
	return nil
}

func (s Source) check() error {
	// Publishers name files as they please; only a path is refused.
	if s.Name == "" || len(s.Name) > 128 || strings.ContainsAny(s.Name, "/\\\x00") || strings.HasPrefix(s.Name, ".") {
		return fmt.Errorf("source %q: want a file name without a path", s.Name)
	}
	if strings.Contains(s.NPM, "..") || strings.HasPrefix(s.NPM, "/") {
		return fmt.Errorf("source %s: npm path %q leaves its folder", s.Name, s.NPM)
	}
	if s.URL != "" && !strings.HasPrefix(s.URL, "https://") {
		return fmt.Errorf("source %s: %q is not an https address", s.Name, s.URL)
	}
	if s.SHA384 != "" && !isHex(s.SHA384, 48) {
		return fmt.Errorf("source %s: sha384 %q is not one", s.Name, s.SHA384)
	}
	return checkDigest(s.Name, s.SHA256, sha256.Size, s.Size, maxSource)
}

func (g Golden) check() error {
	for _, v := range []float64{g.Mates, g.Strangers, g.Tolerance} {
		if math.IsNaN(v) || math.Abs(v) > 1 {
			return fmt.Errorf("cosine or tolerance %v is out of range", v)
		}
	}
	if len(g.Template)%4 != 0 || len(g.Template) > 4*4096 {
		return fmt.Errorf("template of %d bytes: want float32s, at most 4096", len(g.Template))
	}
	if g.Mates <= g.Strangers || g.Tolerance <= 0 {
		return fmt.Errorf("mates %v, strangers %v, tolerance %v: mates must be more alike, the tolerance positive", g.Mates, g.Strangers, g.Tolerance)
	}
	return nil
}

func checkDigest(name, digest string, bytes int, size, limit int64) error {
	if !isHex(digest, bytes) {
		return fmt.Errorf("%s: sha256 %q is not one", name, digest)
	}
	if size < 1 || size > limit {
		return fmt.Errorf("%s: size %d is out of bounds (1 to %d)", name, size, limit)
	}
	return nil
}

// isHex reports whether s is n bytes in lower-case hexadecimal.
func isHex(s string, n int) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == n && strings.ToLower(s) == s
}

// plainName reports whether s can be a file name that means nothing else on
// any system: no path, no hidden file, no upper case.
func plainName(s string) bool {
	if s == "" || len(s) > 64 || s[0] == '.' || s[0] == '-' {
		return false
	}
	for _, c := range s {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}
