package delivery

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"

	amconfig "github.com/prometheus/alertmanager/config"
)

func receiverKey(key, name string) string { return fmt.Sprintf("%s::receivers (%s)", key, name) }

// namesFile matches the keys whose value is the path of a file: most end so, and HTTP headers have a list.
var namesFile = regexp.MustCompile(`(_file|::files::\d+)$`)

// checkFiles finds the files that are named and cannot be read. It looks at the configuration as it was loaded, in which paths are those that will
// be opened.
func checkFiles(key string, parsed *amconfig.Config) error {
	var errs []error
	for i, pattern := range parsed.Templates {
		if strings.ContainsAny(pattern, `*?[\`) {
			continue // a pattern may match nothing, as in Alertmanager
		}
		if err := readable(pattern); err != nil {
			errs = append(errs, fmt.Errorf("%s::templates::%d: %w", key, i, err))
		}
	}
	missing := map[string]bool{}
	eachText(reflect.ValueOf(parsed.Global), key+"::global", func(where, path string) {
		if err := readableIfFile(where, path); err != nil {
			missing[path] = true
			errs = append(errs, err)
		}
	})
	for _, r := range parsed.Receivers {
		eachText(reflect.ValueOf(r), receiverKey(key, r.Name), func(where, path string) {
			// Receivers have taken over what is global.
			if err := readableIfFile(where, path); err != nil && !missing[path] {
				errs = append(errs, err)
			}
		})
	}
	return errors.Join(errs...)
}

func readableIfFile(where, path string) error {
	if path == "" || !namesFile.MatchString(where) {
		return nil
	}
	if err := readable(path); err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	return nil
}

// readable says why a file cannot be read.
func readable(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("%s is no file", path)
	case !info.Mode().IsRegular():
		return nil // to open a pipe would wait for its writer
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	return file.Close()
}

// checkSNS refuses the client that AWS's own library makes for itself: nobody else can say where that may connect to.
func checkSNS(key string, parsed *amconfig.Config) error {
	var errs []error
	for _, r := range parsed.Receivers {
		for i, c := range r.SNSConfigs {
			where := fmt.Sprintf("%s::sns_configs::%d", receiverKey(key, r.Name), i)
			const reason = "with it AWS's client connects past the guard against link-local addresses and metadata services; " +
				"name the certificates in `http_config::tls_config::ca_file`"
			if c.UseAWSHTTPClient {
				errs = append(errs, fmt.Errorf("%s::use_aws_http_client must be false, found true: %s", where, reason))
			}
			if bundle := os.Getenv("AWS_CA_BUNDLE"); bundle != "" {
				errs = append(errs, fmt.Errorf("%s: the variable AWS_CA_BUNDLE must not be set, found %q: %s", where, bundle, reason))
			}
		}
	}
	return errors.Join(errs...)
}

// eachText visits the texts of a configuration, with the keys that lead there. Those that the user chose, a map's, are quoted.
func eachText(v reflect.Value, where string, visit func(where, text string)) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			eachText(v.Elem(), where, visit)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			field := v.Type().Field(i)
			name, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
			switch {
			case !field.IsExported():
			case strings.Contains(options, "inline"):
				eachText(v.Field(i), where, visit)
			default:
				eachText(v.Field(i), where+"::"+name, visit)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			eachText(v.Index(i), fmt.Sprintf("%s::%d", where, i), visit)
		}
	case reflect.Map:
		for entry := v.MapRange(); entry.Next(); {
			eachText(entry.Value(), fmt.Sprintf("%s::%q", where, entry.Key()), visit)
		}
	case reflect.String:
		visit(where, v.String())
	default:
	}
}
