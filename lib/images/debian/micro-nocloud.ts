/**
 * The micro guest's reader of NoCloud seeds: vendor-data first, then the user's, key by key. It supports the
 * keys that strata uses for instances, and writes unknown ones to cloud-init's log.
 */
export const NOCLOUD = `import base64, os, pwd, re, subprocess, sys, time, yaml, zlib

SEED = '/run/seed/'
LOG = open('/var/log/cloud-init-output.log', 'a', buffering=1)
KNOWN = set('bootcmd fqdn growpart hostname manage_etc_hosts mounts packages preserve_hostname runcmd ssh_authorized_keys system_info timezone users write_files'.split())
loader = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)
errors = []

def tell(*words):
    print(time.strftime('%F %T'), *words, file=LOG)

def call(argv, **more):
    status = subprocess.call(argv, stdin=subprocess.DEVNULL, stdout=LOG, stderr=LOG, **more)
    if status:
        errors.append('%s ended with %d' % (argv if isinstance(argv, str) else ' '.join(argv), status))
        tell(errors[-1])

def load(name):
    try:
        return open(SEED + name).read()
    except FileNotFoundError:
        return ''

def read(name, text):
    if text.startswith('#!'):
        return text
    if text.startswith('#cloud-config'):
        try:
            found = yaml.load(text, Loader=loader)
            return found if isinstance(found, dict) else {}
        except yaml.YAMLError as error:
            errors.append('%s: %s' % (name, error))
    elif text.strip():
        errors.append('%s: neither #cloud-config nor a script' % name)
    return {}

def pieces(name):
    text = load(name)
    if not re.match('(content-type|mime-version):', text, re.I):
        return [(name, read(name, text))]
    import email
    found = [part for part in email.message_from_string(text).walk() if not part.is_multipart()]
    texts = [part.get_payload(decode=True).decode() for part in found]
    heads = {'text/cloud-config': '#cloud-config\\n', 'text/x-shellscript': '#!/bin/sh\\n'}
    texts = [text if text.startswith('#') else heads.get(part.get_content_type(), '') + text for part, text in zip(found, texts)]
    return [('%s-%d' % (name, n), read(name, text)) for n, text in enumerate(texts, 1)]

parts = [piece for name in ('vendor-data', 'user-data') for piece in pieces(name)]
configs = [part for _, part in parts if isinstance(part, dict)]

def last(*keys):
    for config in reversed(configs):
        for key in keys:
            if config.get(key):
                return str(config[key])

def all_of(key):
    return [each for config in configs for each in config.get(key) or []]

def put(path, data, mode=0o644):
    with open(path + '.new', 'wb') as out:
        out.write(data if isinstance(data, bytes) else data.encode())
    os.chmod(path + '.new', mode)
    os.rename(path + '.new', path)

def authorize(user, keys):
    entry = pwd.getpwnam(user)
    folder = entry.pw_dir + '/.ssh'
    os.makedirs(folder, mode=0o700, exist_ok=True)
    put(folder + '/authorized_keys', ''.join(key.strip() + '\\n' for key in dict.fromkeys(keys)), 0o600)
    for path in (folder, folder + '/authorized_keys'):
        os.chown(path, entry.pw_uid, entry.pw_gid)

def add_user(user):
    name, groups = user['name'], user.get('groups') or []
    groups = [each.strip() for each in groups.split(',')] if isinstance(groups, str) else list(groups)
    call(['useradd', '-m', '-s', user.get('shell', '/bin/bash'), '-c', user.get('gecos', '')] + (['-G', ','.join(groups)] if groups else []) + [name])
    call(['usermod', '-p', user.get('passwd', '*'), name])
    rules = user.get('sudo') or []
    rules = [rules] if isinstance(rules, str) else rules
    if rules:
        put('/etc/sudoers.d/91-' + name, ''.join('%s %s\\n' % (name, rule) for rule in rules), 0o440)
    if user.get('ssh_authorized_keys'):
        authorize(name, user['ssh_authorized_keys'])

def identity():
    meta = yaml.load(load('meta-data'), Loader=loader) or {}
    fqdn = last('fqdn')
    name = last('hostname') or (fqdn or '').split('.')[0] or meta.get('local-hostname') or meta.get('hostname')
    if name and re.fullmatch('[A-Za-z0-9.-]+', str(name)):
        put('/etc/hostname', '%s\\n' % name)
        put('/etc/hosts', '127.0.0.1 localhost\\n127.0.1.1 %s\\n::1 localhost ip6-localhost\\n' % (fqdn + ' ' + name if fqdn else name))
    keys = list(meta.get('public-keys') or []) if isinstance(meta.get('public-keys'), list) else []
    authorize('ubuntu', keys + all_of('ssh_authorized_keys'))

def users():
    for user in all_of('users'):
        if isinstance(user, dict) and user.get('name') and user['name'] != 'ubuntu':
            add_user(user)
        elif isinstance(user, dict) and user.get('ssh_authorized_keys'):
            authorize('ubuntu', all_of('ssh_authorized_keys') + user['ssh_authorized_keys'])

def timezone():
    zone = last('timezone')
    if zone and os.path.exists('/usr/share/zoneinfo/' + zone):
        put('/etc/timezone', zone + '\\n')
        call(['ln', '-sfn', '/usr/share/zoneinfo/' + zone, '/etc/localtime'])

def write_files():
    for each in all_of('write_files'):
        data, how = each.get('content') or '', each.get('encoding') or ''
        data = data if isinstance(data, bytes) else str(data).encode()
        if 'b64' in how or 'base64' in how:
            data = base64.b64decode(data)
        if how.startswith('gz'):
            data = zlib.decompress(data, 47)
        os.makedirs(os.path.dirname(each['path']), exist_ok=True)
        with open(each['path'], 'ab' if each.get('append') else 'wb') as out:
            out.write(data)
        os.chmod(each['path'], int(str(each.get('permissions', '0644')), 8))
        if each.get('owner'):
            call(['chown', each['owner'], each['path']])

def mounts():
    present = [line.split()[1] for line in open('/etc/fstab') if len(line.split()) > 1]
    for each in all_of('mounts'):
        fields = [str(field) for field in each if field is not None]
        if len(fields) < 2 or fields[1] in present:
            continue
        fields += ['auto', 'defaults,nofail', '0', '2'][len(fields) - 2:]
        if re.fullmatch('[svx]*d[a-z]+[0-9]*', fields[0]):
            fields[0] = '/dev/' + fields[0]
        if fields[1].startswith('/'):
            os.makedirs(fields[1], exist_ok=True)
        with open('/etc/fstab', 'a') as out:
            out.write(' '.join(fields[:6]) + '\\n')
        call(['mount', fields[1]])

def packages():
    wanted = [str(each) for each in all_of('packages')]
    if wanted:
        environment = dict(os.environ, DEBIAN_FRONTEND='noninteractive')
        call(['apt-get', 'update', '-q'], env=environment)
        call(['apt-get', 'install', '-qy', *wanted], env=environment)

def quote(word):
    return "'" + str(word).replace("'", "'\\\\''") + "'"

def shell(commands, name):
    if commands:
        # One script for all of them, as with cloud-init: a cd or a variable lasts.
        lines = [each if isinstance(each, str) else ' '.join(map(quote, each)) for each in commands]
        script('#!/bin/sh\\n' + ''.join(line + '\\n' for line in lines), name)

def script(text, name):
    put('/run/' + name, text, 0o700)
    call(['/run/' + name], cwd='/')

def bootcmd():
    for config in configs:
        shell(config.get('bootcmd'), 'bootcmd')

def runcmd():
    for config in configs:
        shell(config.get('runcmd'), 'runcmd')

def scripts():
    for name, part in parts:
        if isinstance(part, str):
            script(part, name)

def unknown():
    for name, part in parts:
        for key in sorted(set(part) - KNOWN) if isinstance(part, dict) else []:
            tell('%s: this small guest does not know %r' % (name, key))

STAGES = {
    'identity': [identity],
    'boot': [bootcmd],
    'modules': [unknown, bootcmd, users, timezone, write_files, mounts, packages, runcmd, scripts],
}
for module in STAGES[sys.argv[1]]:
    try:
        module()
    except Exception as error:
        errors.append('%s: %r' % (module.__name__, error))
        tell(errors[-1])
if sys.argv[1] != 'identity':
    # The small Python has no json module.
    texts = ['"%s"' % re.sub(r'[^ !#-\\[\\]-~]', lambda m: '\\\\u%04x' % min(ord(m[0]), 0xffff), error) for error in errors]
    os.makedirs('/run/cloud-init', exist_ok=True)
    put('/run/cloud-init/errors.json', '{"v1": {"datasource": "DataSourceNoCloud", "errors": [%s]}}\\n' % ', '.join(texts))
`;
