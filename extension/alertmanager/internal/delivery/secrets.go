package delivery

import (
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// secrets are what a receiver's errors must not tell: not every notifier keeps the token out of the URL that it failed to reach, and a server
// may send back what it was sent. Once they are collected, errors may be redacted by many at once.
type secrets struct {
	values []string
	files  []string // with a secret each, which may change
}

// shortestSecret is the length from which on a value is looked for in errors: a shorter one would be found in half of all words.
const shortestSecret = 4

// secretFile are the names of keys whose file holds a secret.
var secretFile = regexp.MustCompile(`(Password|Secret|Token|Key|Credentials|URL|Jwt)File$`)

// secretsOf collects what is marked as secret in a configuration.
func secretsOf(configuration any) *secrets {
	s := &secrets{}
	s.collect(reflect.ValueOf(configuration), "")
	return s
}

func (s *secrets) collect(v reflect.Value, name string) {
	secret := strings.Contains(v.Type().Name(), "Secret")
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			s.collect(v.Elem(), name)
		}
	case reflect.Struct:
		if u, ok := v.Interface().(url.URL); ok {
			s.addPassword(&u)
			return
		}
		for i := range v.NumField() {
			field := v.Type().Field(i)
			if !field.IsExported() {
				continue
			}
			if u, ok := v.Field(i).Interface().(*url.URL); ok && secret && u != nil {
				s.addURL(u)
			}
			s.collect(v.Field(i), field.Name)
		}
	case reflect.Slice:
		for i := range v.Len() {
			s.collect(v.Index(i), name)
		}
	case reflect.Map:
		for entry := v.MapRange(); entry.Next(); {
			s.collect(entry.Value(), name)
		}
	case reflect.String:
		switch text := v.String(); {
		case secret:
			s.addText(text)
		case secretFile.MatchString(name) && text != "":
			s.files = append(s.files, text)
		}
	default:
	}
}

// addText takes a text that is secret, and if it is a URL what is secret of that alone.
func (s *secrets) addText(text string) {
	s.add(text)
	if u, err := url.Parse(text); err == nil && u.Host != "" {
		s.addURL(u)
	}
}

// addURL takes what is secret in a URL: all but where it goes.
func (s *secrets) addURL(u *url.URL) {
	s.addPassword(u)
	s.add(strings.TrimPrefix(u.EscapedPath(), "/"))
	s.add(u.RawQuery)
}

func (s *secrets) addPassword(u *url.URL) {
	if password, ok := u.User.Password(); ok {
		s.add(password)
	}
}

func (s *secrets) add(value string) {
	if len(value) >= shortestSecret {
		s.values = append(s.values, value, url.QueryEscape(value), url.PathEscape(value))
	}
}

// redacted is an error with another text.
type redacted struct {
	error
	text string
}

// Error implements error.
func (r *redacted) Error() string { return r.text }

// Unwrap returns what errors.Is and errors.As look for.
func (r *redacted) Unwrap() error { return r.error }

// redact returns the error without secrets: itself where there are none.
func (s *secrets) redact(err error) error {
	if err == nil {
		return nil
	}
	all := secrets{values: slices.Clip(s.values)} // a copy as soon as something is added: many attempts fail at once
	for _, file := range s.files {
		if content, err := os.ReadFile(file); err == nil {
			all.addText(strings.TrimSpace(string(content)))
		}
	}
	text := err.Error()
	for _, value := range all.values {
		text = strings.ReplaceAll(text, value, "<secret>")
	}
	if text == err.Error() {
		return err
	}
	return &redacted{err, text}
}
