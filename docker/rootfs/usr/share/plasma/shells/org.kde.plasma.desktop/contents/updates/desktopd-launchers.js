// Plasma runs this once for each user. The launchers that the panel begins with are for programs that the image has:
// the default set points at a software centre and at a browser that may not be there.
const programs = ["firefox-esr", "org.kde.falkon", "org.kde.konsole", "org.kde.dolphin", "org.kde.kate", "systemsettings"];
const launchers = programs.filter(name => applicationExists(name)).map(name => `applications:${name}.desktop`);
for (const panel of panels()) {
    for (const tasks of panel.widgets("org.kde.plasma.icontasks")) {
        tasks.currentConfigGroup = ["General"];
        tasks.writeConfig("launchers", launchers);
    }
}
