package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/engine/tflite"
	"github.com/cypherface/edge/models"
	"github.com/cypherface/edge/models/convert"
)

// nodeModules is where the build keeps the networks that come with it.
const nodeModules = ".deps/npm/node_modules"

// pullPause is how long setup leaves a server alone that it could not reach.
const pullPause = 24 * time.Hour

// packInstaller tries each pack in a process of its own before it takes its
// place, and reports on the error stream.
func packInstaller(t *terminal, root string) models.Installer {
	return models.Installer{
		Root:     root,
		Try:      func(ctx context.Context, p *models.Pack) error { return tflite.Probe(ctx, "", p.Dir) },
		Progress: func(step string) { fmt.Fprintf(t.err, "  %s\n", step) },
	}
}

func packPuller(t *terminal, root string, timeout time.Duration) *models.Puller {
	var bar *progress
	last := ""
	return &models.Puller{
		Dir:    filepath.Join(root, ".pull"),
		Client: models.NewPullClient(timeout),
		Progress: func(s models.Source, done int64) {
			if s.Name != last {
				bar, last = newProgress(t.err, "  "+s.Name+", KiB:"), s.Name
			}
			if bar.step(int(done>>10), int(s.Size>>10)); done == s.Size {
				bar.end()
				fmt.Fprintf(t.err, "  %s: %d bytes came; compared: %s\n", s.Name, done, s.Compared())
			}
		},
	}
}

func modelsImportCommand() command {
	c := command{name: "models import", args: "[--packs DIR] FOLDER",
		summary: "install a pack from a folder or USB stick, without a network connection",
		help: `FOLDER holds either a ready-made pack (manifest.json and its networks; copy the
folder of another box) or original weights as their makers publish them, which are
converted here, of the pack standard:
  face-reidentification-retail-0095.xml and .bin (FP16)
  landmarks-regression-retail-0009.xml and .bin (FP32)
or of the pack pad, against presentation attacks:
  model_1.param and .bin, model_2.param and .bin (MiniFASNet, for ncnn)
Every file is hashed, and the pack is tried in a process of its own. pad stands
beside the pack in use, of which it changes nothing, from the next start of the box.

  cypherface models import /media/stick/standard
  cypherface models import ~/open_model_zoo
  cypherface models import --pack pad ~/weights     # where there are both
`}
	c.run = func(ctx context.Context, t *terminal, args []string) error {
		fs, asJSON := c.flags(t)
		root := packsFlag(fs, t)
		npm := fs.String("npm", nodeModules, "`folder` with the networks that come with the build")
		only := fs.String("pack", "", "`name` of the pack to make of original weights (default: the first of standard and pad)")
		rest, err := parse(t, fs, args)
		if err != nil {
			return err
		}
		if len(rest) != 1 {
			fs.Usage()
			return errUsage
		}
		p, err := importPack(ctx, packInstaller(t, root()), *only, rest[0], *npm)
		if err != nil {
			return err
		}
		return reportInstalled(t, root(), p, *asJSON)
	}
	return c
}

func importPack(ctx context.Context, in models.Installer, name, dir, npm string) (*models.Pack, error) {
	if _, err := os.Lstat(filepath.Join(dir, "manifest.json")); err == nil {
		return in.Import(ctx, dir)
	}
	if st, err := os.Stat(dir); err != nil || !st.IsDir() {
		return nil, fmt.Errorf("import %s: not a folder", dir)
	}
	names := []string{"standard", models.PAD}
	if name != "" {
		names = []string{name}
	}
	find := models.FirstOf(models.Folders(dir), models.InstalledFiles(in.Root), models.Folders(npm))
	for _, name := range names {
		if p, err := in.Build(ctx, name, find); !errors.Is(err, fs.ErrNotExist) {
			return p, err
		}
	}
	return nil, fmt.Errorf("import %s: it holds neither a manifest.json nor all original files of %s: %w", dir, strings.Join(names, " or "), fs.ErrNotExist)
}

func modelsPullCommand() command {
	c := command{name: "models pull", args: "[--packs DIR] [--timeout 5s] NAME",
		summary: "download the original weights of a pack, convert and install it",
		help: `A download that is cut off is resumed, in the same run or a later one. What
came is compared with the hashes of the manifest, and the output says which:
the publisher states one for some files only.

  cypherface models pull standard
  cypherface models pull --timeout 30s standard     over a slow line
  cypherface models pull pad                        beside it, against presentation attacks
`}
	c.run = func(ctx context.Context, t *terminal, args []string) error {
		fs, asJSON := c.flags(t)
		root := packsFlag(fs, t)
		npm := fs.String("npm", nodeModules, "`folder` with the networks that come with the build")
		timeout := fs.Duration("timeout", 5*time.Second, "how long to wait for the server to answer")
		rest, err := parse(t, fs, args)
		if err != nil {
			return err
		}
		if len(rest) != 1 {
			fs.Usage()
			return errUsage
		}
		p, err := pullPack(ctx, packInstaller(t, root()), packPuller(t, root(), *timeout), rest[0], *npm)
		if err != nil {
			return fmt.Errorf("%w (no connection? bring the files on a stick: cypherface models import FOLDER)", err)
		}
		return reportInstalled(t, root(), p, *asJSON)
	}
	return c
}

func pullPack(ctx context.Context, in models.Installer, pull *models.Puller, name, npm string) (*models.Pack, error) {
	local := models.FirstOf(models.InstalledFiles(in.Root), models.Folders(npm))
	p, err := in.Build(ctx, name, models.FirstOf(local, pull.Find))
	if err == nil {
		err = os.RemoveAll(pull.Dir)
	}
	return p, err
}

func reportInstalled(t *terminal, root string, p *models.Pack, asJSON bool) error {
	inUse := ""
	if d, err := models.Default(root); err == nil {
		inUse = d.Name
	}
	if asJSON {
		return printJSON(t.out, describeInstalled(p, inUse))
	}
	word := "installed"
	if p.Name == inUse {
		word = "installed and in use:"
	}
	if p.Name == models.PAD {
		word = "installed, and in use from the next start of the box:"
	}
	printPack(t.out, word, &p.Manifest)
	return nil
}

func modelsSetupCommand() command {
	c := command{name: "models setup", args: "[--packs DIR] [--sources DIR]",
		summary: "install the packs that can be had, and say which one is used",
		help: `The standard pack is taken from what is installed, from original weights in
--sources, or from its publisher, in this order; the basic pack comes with the
build; pad is installed where --sources has its weights. What is done already takes
no time. An unreachable publisher is left
alone for a day; models pull tries at once.

  cypherface models setup --packs .deps/packs
`}
	c.run = func(ctx context.Context, t *terminal, args []string) error {
		fs, asJSON := c.flags(t)
		root := packsFlag(fs, t)
		sources := fs.String("sources", t.getenv("MODEL_SOURCES"), "`folder` with original weights (default $MODEL_SOURCES)")
		npm := fs.String("npm", nodeModules, "`folder` with the networks that come with the build")
		timeout := fs.Duration("timeout", 2*time.Second, "how long to wait for the publisher to answer")
		if err := noArguments(t, fs, args); err != nil {
			return err
		}
		s := packSetup{terminal: t, Installer: packInstaller(t, root()), sources: *sources, npm: *npm, timeout: *timeout}
		return s.run(ctx, *asJSON)
	}
	return c
}

// packSetup installs what can be had.
type packSetup struct {
	*terminal
	models.Installer
	sources, npm string
	timeout      time.Duration
}

func (s packSetup) run(ctx context.Context, asJSON bool) error {
	for _, name := range []string{"basic", "standard", models.PAD} {
		if s.upToDate(name) {
			continue
		}
		err := s.install(ctx, name)
		if name == models.PAD && errors.Is(err, fs.ErrNotExist) {
			continue // nothing needs it
		}
		if err != nil {
			fmt.Fprintf(s.err, "pack %s is not to be had: %v\n", name, err)
		}
	}
	p, err := models.Default(s.Root)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(s.out, describeInstalled(p, p.Name))
	}
	printPack(s.out, "using", &p.Manifest)
	return nil
}

// upToDate reports whether the pack is installed whole, as this program
// defines it. A pack of the name that somebody imported is left alone.
func (s packSetup) upToDate(name string) bool {
	p, err := models.Open(filepath.Join(s.Root, name))
	if err != nil {
		return false
	}
	if err := p.Verify(); err != nil {
		fmt.Fprintf(s.err, "pack %s: %v\n", name, err)
		return false
	}
	if ok, err := s.Refresh(name); err == nil && ok {
		return true
	}
	return false
}

// install looks in the local folders, then asks the publisher.
func (s packSetup) install(ctx context.Context, name string) error {
	s.Progress = func(step string) { fmt.Fprintf(s.err, "pack %s: %s\n", name, step) }
	local := []string{s.npm}
	if s.sources != "" {
		local = append(local, s.sources)
	}
	find := models.FirstOf(models.InstalledFiles(s.Root), models.Folders(local...))
	_, err := s.Build(ctx, name, find)
	if err == nil || !errors.Is(err, fs.ErrNotExist) || name != "standard" {
		return err
	}
	failed := filepath.Join(s.Root, ".pull-failed")
	if st, serr := os.Stat(failed); serr == nil && time.Since(st.ModTime()) < pullPause {
		return errors.New("its publisher was not reachable before (cypherface models pull standard tries again now)")
	}
	fmt.Fprintf(s.err, "pack %s: no original weights in %s; asking their publisher\n", name, cmp.Or(s.sources, "any folder named"))
	pull := packPuller(s.terminal, s.Root, s.timeout)
	pull.Attempts = 1
	if _, err = pullPack(ctx, s.Installer, pull, name, s.npm); err != nil {
		_ = os.WriteFile(failed, nil, 0o644) // only saves the next wait
	}
	return err
}

func modelsConvertCommand() command {
	c := command{name: "models convert", args: "SOURCE… -o OUT.tflite",
		summary: "convert one network to TensorFlow Lite",
		help: `SOURCE is an OpenVINO IR (.xml; its .bin is found beside it) or face-api's
weights manifest of the face recognition network (-weights_manifest.json; its
.bin is found beside it). The same input gives the same bytes everywhere; the
SHA-256 printed can be pinned in a manifest.

  cypherface models convert face-reidentification-retail-0095.xml -o embed.tflite
`}
	c.run = func(_ context.Context, t *terminal, args []string) error {
		fs, asJSON := c.flags(t)
		out := fs.String("o", "", "`file` to write")
		rest, err := parse(t, fs, args)
		if err != nil {
			return err
		}
		if *out == "" || len(rest) < 1 || len(rest) > 2 {
			fs.Usage()
			return errUsage
		}
		b, err := convertFiles(rest)
		if err != nil {
			return err
		}
		if err := os.WriteFile(*out, b, 0o644); err != nil {
			return err
		}
		sum := sha256.Sum256(b)
		if *asJSON {
			return printJSON(t.out, map[string]any{"file": *out, "size": len(b), "sha256": hex.EncodeToString(sum[:])})
		}
		fmt.Fprintf(t.out, "%s: %d bytes, sha256 %x\n", *out, len(b), sum)
		return nil
	}
	return c
}

// convertFiles converts the network whose description, and perhaps weights,
// are named.
func convertFiles(paths []string) ([]byte, error) {
	text, weights := paths[0], ""
	if len(paths) == 2 {
		weights = paths[1]
		if strings.HasSuffix(text, ".bin") {
			text, weights = weights, text
		}
	}
	stem, openvino := strings.CutSuffix(text, ".xml")
	if !openvino {
		var faceapi bool
		if stem, faceapi = strings.CutSuffix(text, "-weights_manifest.json"); !faceapi {
			return nil, fmt.Errorf("convert %s: neither .xml (OpenVINO) nor -weights_manifest.json (face-api)", text)
		}
	}
	if weights == "" {
		weights = stem + ".bin"
	}
	description, err := os.ReadFile(text)
	if err != nil {
		return nil, err
	}
	bin, err := os.ReadFile(weights)
	if err != nil {
		return nil, err
	}
	if openvino {
		return convert.OpenVINO(description, bin, convert.Options{})
	}
	return convert.FaceAPI(description, bin, convert.Options{})
}

func modelsPinCommand() command {
	c := command{name: "models pin", args: "[--from DIR]… [--calibration FILE] MANIFEST.json",
		summary: "fill in what can be computed of a pack's manifest: for makers of packs",
		help: `Converts the networks from their sources (or takes them from the manifest's own
folder), and writes their hashes, sizes and golden answers, the space and the
golden cosines into MANIFEST.json. --calibration takes over the error rates
that cypherface eval --calibration measured. Run it after a change of the
converter, of the pre-processing (count "preprocessing" up), or of a source.

  cypherface models pin --from ../shared/models/sources --from .deps/npm/node_modules models/packs/standard.json
  cypherface models pin --calibration standard-cal.json models/packs/standard.json
`}
	c.run = func(ctx context.Context, t *terminal, args []string) error {
		fs, asJSON := c.flags(t)
		var from folders
		fs.Var(&from, "from", "`folder` with sources; may be given several times")
		calibration := fs.String("calibration", "", "`file` with the calibration to take over; nothing else is changed then")
		rest, err := parse(t, fs, args)
		if err != nil {
			return err
		}
		if len(rest) != 1 {
			fs.Usage()
			return errUsage
		}
		if *calibration != "" {
			return models.PinCalibration(rest[0], *calibration)
		}
		return pinPack(ctx, t, rest[0], from, *asJSON)
	}
	return c
}

func pinPack(ctx context.Context, t *terminal, path string, from []string, asJSON bool) error {
	before, _ := os.ReadFile(path)
	m, err := models.Pin(ctx, path, models.Folders(append(from, filepath.Dir(path))...), tflite.Answers)
	if err != nil {
		return err
	}
	if m.Name == models.PAD {
		fmt.Fprintf(t.err, "%s: %d networks\n", path, len(m.Networks))
		if asJSON {
			return printJSON(t.out, m)
		}
		return nil
	}
	old, err := models.ParseManifest(before)
	if err == nil && old.Space == m.Space && engine.Compare(old.Golden.Vector(), m.Golden.Vector()) < 0.9999 {
		fmt.Fprintf(t.err, "%s: the golden template moved (or its image changed): where boxes use this pack already, count preprocessing up, so that it gets a new space\n", path)
	}
	if asJSON {
		return printJSON(t.out, m)
	}
	fmt.Fprintf(t.out, "%s: space %s, golden mates %.4f, strangers %.4f\n", path, m.Space, m.Golden.Mates, m.Golden.Strangers)
	return nil
}

// folders is a flag that may be given several times.
type folders []string

func (f *folders) String() string     { return strings.Join(*f, " ") }
func (f *folders) Set(v string) error { *f = append(*f, v); return nil }

var _ flag.Value = (*folders)(nil)
